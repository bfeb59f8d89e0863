// The side's tabs.
const tabs = [...document.querySelectorAll("[role=tab]")];
const panels = tabs.map((tab) => tab.getAttribute("aria-controls"));

function open(panel, focus = false) {
  tabs.forEach((tab, number) => {
    const here = panels[number] === panel;
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    byId(panels[number]).hidden = !here;
    if (here) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (here && focus) tab.focus();
  });
}

tabs.forEach((tab, number) => {
  tab.addEventListener("click", () => visit(panels[number]));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    visit(panels[(number + step + tabs.length) % tabs.length]);
    tabs[(number + step + tabs.length) % tabs.length].focus();
  });
});
