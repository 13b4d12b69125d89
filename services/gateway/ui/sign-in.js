// The sign-in form: asks for a bearer token, which is stored until the tab is closed.

import { byId } from "./dom.js";
import * as storage from "./storage.js";

export class SignIn {
  #isOpen = false;

  /** `onSignedIn` is called with each new token, `onSignedOut` after everything stored is removed. */
  constructor(onSignedIn, onSignedOut) {
    byId("sign-in").addEventListener("submit", (event) => {
      event.preventDefault();
      storage.saveToken(byId("token").value.trim());
      byId("token").value = "";
      this.close();
      onSignedIn();
    });
    byId("sign-out").addEventListener("click", () => {
      storage.clear();
      onSignedOut();
    });
  }

  get token() {
    return storage.token();
  }

  /** Ask for a token: none is stored, or the gateway has rejected it. */
  open() {
    storage.saveToken(null);
    if (this.#isOpen) return;
    this.#toggle(true);
    byId("token").focus();
  }

  close() {
    this.#toggle(false);
  }

  #toggle(isOpen) {
    this.#isOpen = isOpen;
    byId("sign-in").hidden = !isOpen;
    byId("main").hidden = isOpen;
    byId("sign-out").hidden = isOpen;
  }
}
