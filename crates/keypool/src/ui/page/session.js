// Logging in and out. The token goes to the gateway once and is kept nowhere here; the cookie that comes back is out of
// reach of any script. What this browser remembers is only that there was a session, so that it need not ask in vain.

import { post, whenOver } from "./api.js";
import { by, say } from "./element.js";

const HINT = "keypool-session";
const hint = {
  get: () => localStorage.getItem(HINT) === "1",
  set: (is) => (is ? localStorage.setItem(HINT, "1") : localStorage.removeItem(HINT)),
};

/** Shows the login until there is a session; `begin` and `end` are told. */
export function keepSession(begin, end) {
  const enter = () => {
    by("login").hidden = true;
    by("board").hidden = false;
    begin();
  };
  const leave = (why) => {
    if (!by("board").hidden) end();
    hint.set(false);
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    by("board").hidden = true;
    by("login").hidden = false;
    say(by("login-news"), why);
    by("token").focus();
  };
  whenOver(() => leave("The session is over: log in again."));
  by("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = by("token").value;
    say(by("login-news"), "");
    try {
      await post("/login", { token });
      by("token").value = "";
      hint.set(true);
      enter();
    } catch (refused) {
      const wait = refused.wait ? ` Try again in ${refused.wait} s.` : "";
      say(by("login-news"), `${refused.message}.${wait}`);
      by("token").select();
    }
  });
  by("logout").addEventListener("click", async () => {
    try {
      await post("/logout");
    } catch {
      // It ends here in any case; over there it does so by itself.
    }
    leave("");
  });
  if (hint.get()) enter();
  else leave("");
}
