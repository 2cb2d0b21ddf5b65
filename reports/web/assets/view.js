"use strict";
// The pages work without this script. It adds keys, copying, rows that come
// without a new page, and a run that is shown live. Pages of this server are
// the only markup that it takes in; nothing here builds any from a text.
(function () {
  var body = document.body, page = body.dataset.page;
  function $(id) { return document.getElementById(id); }
  function say(text) { $("said").textContent = ""; $("said").textContent = text; }

  // Copying.
  document.addEventListener("click", function (e) {
    var b = e.target.closest && e.target.closest("button.copy");
    if (!b) return;
    var text = b.id === "copy-address" ? location.href : $(b.dataset.copy).textContent;
    navigator.clipboard.writeText(text).then(function () { say("Copied"); b.dataset.done = "yes"; }, function () {
      say("The browser does not permit copying");
    });
  });

  // Rows that come without a new page.
  var asked = 0;
  function part(url) {
    var u = new URL(url, location.href);
    u.searchParams.set("part", "rows");
    u.hash = "";
    return fetch(u, { cache: "no-store", credentials: "omit" }).then(function (r) {
      return r.text().then(function (text) {
        if (!r.ok) throw new Error(text.trim());
        return new DOMParser().parseFromString(text, "text/html");
      });
    });
  }

  // go shows the rows of an address. quiet keeps the history as it is.
  function go(url, quiet) {
    var mine = ++asked, old = $("rows");
    old.setAttribute("aria-busy", "true");
    part(url).then(function (doc) {
      if (mine !== asked) return;
      if (!quiet) history.pushState(null, "", url);
      swap(old, doc.getElementById("rows"));
    }).catch(function (e) {
      if (mine !== asked) return;
      old.removeAttribute("aria-busy");
      if (!quiet) { $("found").textContent = String(e.message || e); say(String(e.message || e)); }
    });
  }

  // swap puts new rows in the place of old ones and leaves the reader where
  // they were.
  function swap(old, fresh) {
    var at = document.activeElement, field = at && at.form && at.form.id === "ask" ? at.name : "";
    var key = at && at.id, from = at && at.selectionStart, chosen = current();
    var typed = field === "q" || field === "value" ? at.value : null;
    old.replaceWith(document.adoptNode(fresh));
    if (field) {
      var again = $("ask").elements[field];
      if (typed !== null) again.value = typed;
      again.focus({ preventScroll: true });
      if (typed !== null) try { again.setSelectionRange(from, from); } catch (e) { /* not a text field */ }
    } else if (key && $(key)) $(key).focus({ preventScroll: true });
    if (chosen && $(chosen.id)) choose($(chosen.id), false);
    body.dataset.swaps = Number(body.dataset.swaps || 0) + 1;
    later();
  }

  function address() {
    var form = $("ask"), q = new URLSearchParams();
    new FormData(form).forEach(function (v, k) { if (v !== "") q.set(k, v); });
    return form.action.split("#")[0] + "?" + q + "#rows";
  }

  if (page === "run") {
    var typing = 0;
    document.addEventListener("input", function (e) {
      if (!e.target.form || e.target.form.id !== "ask" || e.target.tagName === "SELECT") return;
      clearTimeout(typing);
      typing = setTimeout(function () { go(address()); }, 300);
    });
    document.addEventListener("change", function (e) {
      if (e.target.form && e.target.form.id === "ask" && e.target.tagName === "SELECT") go(address());
    });
    document.addEventListener("submit", function (e) {
      if (e.target.id !== "ask") return;
      e.preventDefault();
      clearTimeout(typing);
      go(address());
    });
    document.addEventListener("click", function (e) {
      var a = e.target.closest && e.target.closest("a");
      if (!a || e.button || e.metaKey || e.ctrlKey || e.shiftKey) return;
      if (!a.closest("#filters, #ask, .pages, .sorts, #found, .overview") || a.pathname !== location.pathname) return;
      e.preventDefault();
      go(a.href);
      if (a.closest(".overview, .pages")) $("rows").scrollIntoView();
    });
    addEventListener("popstate", function () { go(location.href, true); });
  }

  // Live: the status and, while the run goes on or a search is not at its
  // end, the rows.
  var waiting = 0, doneBefore = "";
  function later() {
    clearTimeout(waiting);
    if (page !== "run") return;
    var live = $("status").dataset.live === "true", partial = $("rows").dataset.partial === "true";
    if (partial) waiting = setTimeout(function () { go(location.href, true); }, 300);
    else if (live) waiting = setTimeout(tick, 2000);
  }
  function tick() {
    fetch($("status").dataset.href, { cache: "no-store", credentials: "omit" }).then(function (r) {
      if (!r.ok) throw new Error();
      return r.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html").getElementById("status");
      var ended = fresh.dataset.live !== "true", done = fresh.querySelector("progress").value;
      $("status").replaceWith(document.adoptNode(fresh));
      if (ended) { say("The run has ended"); location.reload(); return; }
      if (done !== doneBefore) { doneBefore = done; go(location.href, true); } else later();
    }).catch(function () { waiting = setTimeout(tick, 5000); });
  }

  // Keys.
  function rows() { return Array.prototype.slice.call(document.querySelectorAll("tr[data-row]")); }
  function current() { return document.querySelector("tr[data-row][aria-current]"); }
  function choose(row, focus) {
    var old = current();
    if (old) old.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    if (!focus) return;
    row.scrollIntoView({ block: "nearest" });
    var a = row.querySelector("th a");
    if (a) a.focus({ preventScroll: true });
  }
  function move(by) {
    var list = rows(), i = list.indexOf(current());
    i = i < 0 ? (by > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, i + by));
    if (list[i]) choose(list[i], true);
  }
  function press(id) { if ($(id)) $(id).click(); }
  var keys = {
    "/": function () { if ($("search")) { $("search").focus(); $("search").select(); } },
    j: function () { move(1); },
    k: function () { move(-1); },
    ArrowRight: function () { press("next"); },
    ArrowLeft: function () { press("previous"); },
    u: function () { press("up"); },
    m: function () { press("markdown"); },
    "?": function () { if (!$("help").open) $("help").showModal(); }
  };
  document.addEventListener("keydown", function (e) {
    if (e.ctrlKey || e.metaKey || e.altKey || $("help").open) return;
    var t = e.target, typing = /^(INPUT|SELECT|TEXTAREA)$/.test(t.tagName) && t.type !== "checkbox";
    if (typing) {
      if (e.key === "Escape") { e.preventDefault(); t.blur(); } // or a search field would be emptied
      return;
    }
    if (/^Arrow/.test(e.key) && (t.tagName === "PRE" || t.classList.contains("scroll")) && t.scrollWidth > t.clientWidth) return;
    if (e.key === "Enter") {
      if (t === body && current()) { e.preventDefault(); current().querySelector("th a").click(); }
      return;
    }
    if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
  });

  // A row that an address names is the chosen one.
  var named = location.hash.slice(1) && document.getElementById(location.hash.slice(1));
  if (named && named.matches("tr[data-row]")) choose(named, true);
  later();
  document.documentElement.dataset.ready = "yes";
})();
