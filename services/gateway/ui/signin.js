// Asks for a bearer token where the gateway wants one, and keeps it until the tab is closed.

import { byId } from "./dom.js";
import * as memory from "./memory.js";

/** The form, and what it was given. */
export class SignIn {
  #isAsking = false;

  /** `onSignedIn` is called each time a token was given, `onSignedOut` when its bearer has done. */
  constructor(onSignedIn, onSignedOut) {
    byId("sign-in").addEventListener("submit", (event) => {
      event.preventDefault();
      memory.keepToken(byId("token").value.trim());
      byId("token").value = "";
      this.#show(false);
      onSignedIn();
    });
    byId("sign-out").addEventListener("click", () => {
      memory.forgetAll();
      onSignedOut();
    });
  }

  get token() {
    return memory.token();
  }

  /** Without a token, or with one that is no good. */
  ask() {
    memory.keepToken(null);
    if (this.#isAsking) return;
    this.#show(true);
    byId("token").focus();
  }

  /** With one that was given before. */
  welcome() {
    this.#show(false);
  }

  #show(isAsking) {
    this.#isAsking = isAsking;
    byId("sign-in").hidden = !isAsking;
    byId("main").hidden = isAsking;
    byId("sign-out").hidden = isAsking;
  }
}
