// What pages can do with a script, and do without one too: copy the command that makes a figure again.
document.addEventListener("DOMContentLoaded", () => {
  for (const legend of document.querySelectorAll(".eecore-legend")) legend.hidden = false;
  for (const command of document.querySelectorAll("pre.eecore-again")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "eecore-copy";
    say(button, "Copy");
    button.addEventListener("click", async () => {
      say(button, (await copied(command.textContent)) ? "Copied" : "Not copied");
      setTimeout(() => say(button, "Copy"), 2000);
    });
    const said = document.createElement("div");
    said.className = "eecore-command-line";
    command.replaceWith(said);
    said.append(command, button);
  }

  function say(button, word) {
    button.textContent = word;
    button.setAttribute("aria-label", `${word}: the command`);
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
