/* Counts down, shows times in the reader's zone, and keeps the line of the mail new. Without it all
   is said too, by the clock of the site. */
(() => {
  "use strict";
  const at = id => document.getElementById(id);
  const moment = time => new Date(time.dateTime);
  const two = number => String(number).padStart(2, "0");
  const span = seconds => `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;

  const left = at("left"), wait = at("wait"), resend = at("resend");
  const loaded = performance.now();
  const server = new Date(left.dataset.now).getTime(); // the reader's clock may be wrong
  const now = () => server + performance.now() - loaded;
  const until = when => Math.max(0, Math.ceil((when - now()) / 1000));

  for (const time of document.querySelectorAll("time")) {
    const withSeconds = time.closest("#wait") ? { second: "2-digit" } : {};
    time.textContent = moment(time).toLocaleTimeString(document.documentElement.lang,
      { hour: "2-digit", minute: "2-digit", ...withSeconds });
  }

  const expires = moment(left.previousElementSibling);
  const mayAsk = wait && moment(wait.querySelector("time"));

  const tick = () => {
    const seconds = until(expires);
    left.hidden = false;
    left.textContent = seconds ? `, ${left.dataset.for.replace("{time}", span(seconds))}` : `. ${left.dataset.over}`;
    if (wait && !until(mayAsk)) {
      wait.hidden = true;
      resend.hidden = false;
    }
  };
  tick();
  setInterval(tick, 1000);

  let sent = false; // two presses are one: the second's answer would take the first one's place
  addEventListener("submit", event => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });

  const progress = at("progress");
  const poll = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", poll, { once: true });
      return;
    }
    const answer = await fetch(progress.dataset.url, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer || !answer.ok) return;
    const { tone, lead, more, poll_after_ms: after } = await answer.json();
    const [shown, next] = [...progress.querySelectorAll("p")].slice(-2);
    if (shown.textContent !== lead) {
      shown.className = `is ${tone}`;
      shown.textContent = lead;
      next.textContent = more;
    }
    if (after) setTimeout(poll, after);
  };
  if (progress && progress.dataset.url) setTimeout(poll, Number(progress.dataset.after));
})();
