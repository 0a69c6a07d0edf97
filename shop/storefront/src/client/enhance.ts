/** What script adds to pages that work without it. */

/** A form that is on its way is not sent again by an impatient second click. */
for (const form of document.querySelectorAll<HTMLFormElement>("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset["sent"] === "yes") {
      event.preventDefault();
      return;
    }
    form.dataset["sent"] = "yes";
    const button = form.querySelector<HTMLButtonElement>("button[type=submit]");
    button?.setAttribute("aria-disabled", "true");
    button?.classList.add("is-busy");
  });
}

/** Choices that speak for themselves need no button. */
for (const field of document.querySelectorAll<HTMLSelectElement | HTMLInputElement>("[data-submit-on-change]")) {
  const form = field.form;
  if (form === null) continue;
  form.querySelector("button[type=submit]")?.classList.add("visually-hidden-until-focus");
  field.addEventListener("change", () => form.requestSubmit());
}

/** A page that comes back with the browser's Back button may be sent again. */
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-sent]")) {
    delete form.dataset["sent"];
    const button = form.querySelector("button[type=submit]");
    button?.removeAttribute("aria-disabled");
    button?.classList.remove("is-busy");
  }
});
