// Buttons that copy a whole id or command. They are hidden where the browser has no clipboard to offer.

const SHOWN_MILLISECONDS = 1500;

/** Show the copy buttons below an element. */
export function offerCopying(within = document) {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("button.copy")) button.hidden = false;
}

document.addEventListener("click", async (click) => {
  const button = click.target instanceof Element ? click.target.closest("button.copy") : null;
  if (!button) return;
  const [label] = button.childNodes;
  const before = button.dataset.label ?? (button.dataset.label = label.textContent);
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Not copied";
  }
  setTimeout(() => {
    label.textContent = before;
  }, SHOWN_MILLISECONDS);
});
