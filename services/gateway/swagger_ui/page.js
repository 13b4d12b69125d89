// Shows the gateway's OpenAPI document. A token that is entered is kept in memory only, until the page is left.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  // By default the document is sent to a validator on another host.
  validatorUrl: null,
  persistAuthorization: false,
});
