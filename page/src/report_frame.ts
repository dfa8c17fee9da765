// Runs in the frame that a report is drawn in: takes the report from the page around it, once, and becomes it. The
// frame has an origin of its own and a policy that allows no request (src/serve/routes_page.cpp).
addEventListener("message", function take(event: MessageEvent): void {
  if (event.source !== parent || typeof event.data !== "string") return;
  removeEventListener("message", take);
  document.open();
  document.write(event.data);
  document.close();
});
parent.postMessage("ready", "*");
