// What pages can do with a script, and do without one too: copy the command that makes a figure again.
document.addEventListener("DOMContentLoaded", () => {
  for (const legend of document.querySelectorAll(".eecore-legend")) legend.hidden = false;
  for (const command of document.querySelectorAll("pre.eecore-again")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "eecore-copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the command");
    button.addEventListener("click", async () => {
      const done = await copied(command.textContent);
      button.textContent = done ? "Copied" : "Not copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    const said = document.createElement("div");
    said.className = "eecore-command-line";
    command.replaceWith(said);
    said.append(command, button);
  }

  /** Whether the text is on the clipboard; the second way is for browsers that allow the first one only on servers. */
  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }
});
