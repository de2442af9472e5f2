// What Gradio leaves to be done for those who do not see the page.
(() => {
  const status = document.createElement("div");
  status.className = "rar-status";
  status.setAttribute("role", "status");
  const told = new WeakSet();

  // Says in a few words what a long answer says in full.
  const tell = () => {
    for (const one of document.querySelectorAll(".rar-live [data-say]")) {
      if (!told.has(one)) status.textContent = one.dataset.say;
      told.add(one);
    }
  };

  // Upload areas: a name that says what is uploaded, and that holds the words which are seen.
  const name = () => {
    for (const button of document.querySelectorAll("button.upload-container")) {
      const block = button.closest(".block");
      const label = block?.querySelector('[data-testid="block-label"]')?.textContent.trim();
      const words = button.innerText.replace(/\s+/g, " ").trim();
      const whole = [words, label].filter(Boolean).join(": ");
      if (whole && button.getAttribute("aria-label") !== whole) button.setAttribute("aria-label", whole);
    }
  };

  // Gradio speaks the browser's language, and says so of the whole page; the rest is English.
  const speak = () => {
    for (const one of document.querySelectorAll(".prose:not([lang])")) one.lang = "en";
  };

  // A picture on the whole screen, where its labels are read better.
  const enlarge = event => {
    const picture = event.target.closest?.(".rar-enlarge");
    if (!picture) return;
    if (document.fullscreenElement) document.exitFullscreen();
    else picture.requestFullscreen?.();
  };
  addEventListener("click", enlarge);

  const look = () => { tell(); name(); speak(); };

  const start = () => {
    document.body.append(status);
    new MutationObserver(look)
      .observe(document.body, { childList: true, subtree: true, characterData: true });
    look();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
