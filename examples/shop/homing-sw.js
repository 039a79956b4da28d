// The one file that a shop puts on its own origin. A real shop writes the server's address here:
//   importScripts("https://push.example.com/sw.js");
// The demo's server has its address in config.js.
importScripts("/config.js");
importScripts(self.HOMING_SHOP.api + "/sw.js");
