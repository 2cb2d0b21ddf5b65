(function () {
  var $ = function (id) { return document.getElementById(id); };
  var list = $("list"), more = $("more"), found = $("found"), filter = "", next = "", asked = 0, shown = 0, looked = 0;

  function get(path, then, failed) {
    fetch(path, { credentials: "omit", cache: "no-store" }).then(function (r) {
      if (!r.ok) return r.text().then(function (t) { throw new Error(t); });
      return r.json();
    }).then(then).catch(function (e) { (failed || function (e) { found.textContent = String(e.message || e); })(e); });
  }

  function load(item, done) { get("item?row=" + item.row + "&epoch=" + item.epoch, done); }

  function query(cursor) {
    var q = new URLSearchParams();
    if ($("search").value.trim()) q.set("q", $("search").value);
    if ($("model").value) q.set("model", $("model").value);
    if ($("sort").value) q.set("sort", $("sort").value);
    if (filter === "retried" || filter === "flagged") q.set(filter, "1");
    else if (filter) q.set("outcome", filter);
    if (cursor) q.set("cursor", cursor);
    return "rows?" + q;
  }

  function show(cursor) {
    var mine = ++asked;
    if (!cursor) { shown = 0; looked = 0; }
    list.setAttribute("aria-busy", "true");
    get(query(cursor), function (page) {
      if (mine !== asked) return;
      if (!cursor) list.textContent = "";
      page.items.forEach(function (i) { list.appendChild(nightshift.entry(i, load)); });
      shown += page.items.length;
      looked += page.looked_at;
      next = page.next || "";
      more.hidden = !next;
      more.textContent = page.partial ? "Go on searching" : "Show more";
      found.textContent = nightshift.count(shown) + " rows shown, " + nightshift.count(looked) + " looked at" +
        (next ? (page.partial ? "; the search is not at the end" : "; there are more") : "") +
        (page.notes ? "; " + page.notes.join("; ") : "");
      list.removeAttribute("aria-busy");
      document.documentElement.setAttribute("data-ready", "yes");
    });
  }

  function fact(level, title, text, detail) {
    var li = nightshift.el("li", level);
    nightshift.put(li.appendChild(nightshift.el("span", "k")), title);
    nightshift.put(li.appendChild(nightshift.el("b")), text);
    if (detail) nightshift.put(li.appendChild(nightshift.el("span", "k")), detail);
    return li;
  }

  function span(seconds) {
    if (seconds < 90) return Math.round(seconds) + " s";
    if (seconds < 5400) return Math.round(seconds / 60) + " min";
    return (seconds / 3600).toFixed(1) + " h";
  }

  function status() {
    get("status", function (s) {
      nightshift.put($("state"), "").textContent = s.live ? "running" : s.state;
      $("bar").value = s.items ? s.done / s.items : 0;
      var strip = $("strip");
      strip.textContent = "";
      strip.appendChild(fact(s.failed ? "bad" : "good", "on record", nightshift.count(s.done) + " of " + nightshift.count(s.items),
        nightshift.count(s.failed) + " failed" + (s.live ? ", " + nightshift.count(s.in_flight) + " in flight" : "")));
      strip.appendChild(fact(s.at_most_nano_usd > s.spent_nano_usd ? "unsure" : "plain", "spent", nightshift.money(s.spent_nano_usd, s.at_most_nano_usd > s.spent_nano_usd),
        s.at_most_nano_usd > s.spent_nano_usd ? "at most " + nightshift.money(s.at_most_nano_usd) : ""));
      if (s.per_hour) strip.appendChild(fact("plain", "rate", nightshift.count(Math.round(s.per_hour)) + " an hour", s.live && s.seconds_left ? span(s.seconds_left) + " left" : ""));
      (s.batches || []).forEach(function (b) {
        strip.appendChild(fact(b.lost || b.vanishing ? "unsure" : "plain", "batches of " + b.model, nightshift.count(b.rows_away) + " rows away",
          b.collected + " of " + b.batches + " batches collected" + (b.waiting ? ", " + b.waiting + " waiting" : "")));
      });
      var damage = $("damage");
      damage.textContent = "";
      (s.stops || []).concat(s.damage || []).forEach(function (d) { nightshift.put(damage.appendChild(nightshift.el("li")), d); });
      damage.hidden = !damage.firstChild;
      if ($("tail-box").open) tail();
      setTimeout(status, s.live ? 2000 : 15000);
    }, function () {
      $("state").textContent = "nightshift view has ended";
      setTimeout(status, 5000);
    });
  }

  var open = {};
  function tail() {
    get("tail", function (rows) {
      var box = $("tail");
      box.textContent = "";
      rows.forEach(function (i) {
        var e = nightshift.entry(i, load), key = i.row + "/" + i.epoch + "/" + i.answers[0].model;
        e.addEventListener("toggle", function () { open[key] = e.open; });
        if (open[key]) e.open = true;
        box.appendChild(e);
      });
    });
  }

  document.querySelectorAll("#filters button").forEach(function (b) {
    b.addEventListener("click", function () {
      filter = b.value;
      document.querySelectorAll("#filters button").forEach(function (o) { o.setAttribute("aria-pressed", String(o === b)); });
      show("");
    });
  });
  var waiting = 0;
  $("search").addEventListener("input", function () { clearTimeout(waiting); waiting = setTimeout(function () { show(""); }, 250); });
  $("sort").addEventListener("change", function () { show(""); });
  $("model").addEventListener("change", function () { show(""); });
  more.addEventListener("click", function () { show(next); });
  $("tail-box").addEventListener("toggle", function () { if ($("tail-box").open) tail(); });
  status();
  show("");
})();
