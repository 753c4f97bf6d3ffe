// The page of an optimization: what a mark of the picture is, and which points the table shows.
(() => {
  "use strict";
  const { body, root } = skimp;
  const marks = [...document.querySelectorAll("#picture .mark")];
  const shown = document.getElementById("shown");
  const tell = (mark) => {
    shown.textContent = mark.getAttribute("aria-label");
  };
  marks.forEach((mark, idx) => {
    mark.addEventListener("pointerenter", () => tell(mark));
    mark.addEventListener("focus", () => tell(mark));
    mark.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      marks[(idx + by + marks.length) % marks.length].focus();
    });
  });

  const choice = document.getElementById("status");
  const rows = [...document.querySelectorAll("#points tbody tr")];
  const heads = [...document.querySelectorAll("#points thead th")];
  const column = heads.findIndex((head) => head.textContent.trim().startsWith("status"));
  choice.parentElement.hidden = false;
  choice.addEventListener("change", () => {
    rows.forEach((row) => {
      row.hidden = choice.value !== "" && row.children[column].textContent.trim() !== choice.value;
    });
    body.dataset.rows = String(rows.filter((row) => !row.hidden).length);
  });

  // Browser tests read these.
  body.dataset.marks = String(marks.length);
  body.dataset.overflowPx = String(Math.max(0, root.scrollWidth - root.clientWidth));
})();
