// Shows the API's description with Swagger's own page.
const place = document.getElementById("swagger");
window.SwaggerUIBundle({ url: place.dataset.schema, domNode: place, deepLinking: true, validatorUrl: null });
