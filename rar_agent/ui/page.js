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

  const start = () => {
    document.body.append(status);
    new MutationObserver(() => { tell(); name(); })
      .observe(document.body, { childList: true, subtree: true, characterData: true });
    name();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
