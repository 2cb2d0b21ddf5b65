(function () {
  var source = document.getElementById("rows");
  if (!source) return;
  var data = JSON.parse(source.textContent), items = data.items || [];
  var page = 50, shown = 0, found = [], filter = "all";
  var list = document.getElementById("list"), status = document.getElementById("found");
  var search = document.getElementById("search"), sort = document.getElementById("sort"), model = document.getElementById("model");
  var more = document.getElementById("more");

  function sum(item, field) { return item.answers.reduce(function (n, a) { return n + (a[field] || 0); }, 0); }

  function differs(item) {
    if (item.answers.length < 2) return false;
    var first = item.answers[0];
    return item.answers.some(function (a) {
      var scores = a.scores || [], others = first.scores || [];
      if (scores.length && others.length)
        return scores.some(function (s, i) { return others[i] && s.value !== others[i].value; });
      return a.outcome !== first.outcome || (a.text || "").trim() !== (first.text || "").trim();
    });
  }

  // A row of several turns takes a request for each.
  function retried(a) {
    var log = a.attempts || [], turns = log.filter(function (t) { return !t.class; }).length;
    if (a.outcome === "failed" || a.outcome === "unknown") turns++;
    return log.length > Math.max(turns, 1);
  }

  var is = {
    all: function () { return true; },
    failed: function (i) { return i.answers.some(function (a) { return a.outcome === "failed" || a.outcome === "input_error" || a.outcome === "unknown"; }); },
    truncated: function (i) { return i.answers.some(function (a) { return a.outcome === "truncated"; }); },
    refused: function (i) { return i.answers.some(function (a) { return a.outcome === "refused"; }); },
    retried: function (i) { return i.answers.some(retried); },
    flagged: function (i) { return i.answers.some(function (a) { return a.flags; }); },
    different: differs
  };

  var order = {
    row: function (a, b) { return a.row - b.row || a.epoch - b.epoch; },
    cost: function (a, b) { return sum(b, "cost_nano_usd") - sum(a, "cost_nano_usd") || a.row - b.row; },
    latency: function (a, b) { return sum(b, "latency_ms") - sum(a, "latency_ms"); },
    output: function (a, b) { return sum(b, "output_tokens") - sum(a, "output_tokens"); }
  };

  function text(item) {
    if (!item.haystack) {
      item.haystack = [item.id, item.category, item.system, item.input, item.target, item.metadata].concat(item.answers.map(function (a) {
        return [a.text, a.thinking, a.error_message, a.error_class, a.flags, a.tool_calls].filter(Boolean).join("\n");
      })).filter(Boolean).join("\n").toLowerCase();
    }
    return item.haystack;
  }

  function extend() {
    var part = document.createDocumentFragment();
    found.slice(shown, shown + page).forEach(function (i) { part.appendChild(nightshift.entry(i, function (item, done) { done(item); })); });
    shown = Math.min(shown + page, found.length);
    list.appendChild(part);
    more.hidden = shown >= found.length;
    status.textContent = nightshift.count(found.length) + " of " + nightshift.count(items.length) + " rows kept here" +
      (shown < found.length ? ", the first " + nightshift.count(shown) + " shown" : "");
  }

  function apply() {
    var terms = search.value.toLowerCase().split(/\s+/).filter(Boolean), wanted = model.value === "" ? "" : data.models[model.value];
    found = items.map(function (i) {
      if (!wanted) return i;
      var some = i.answers.filter(function (a) { return a.model === wanted; });
      return some.length === i.answers.length ? i : Object.assign({}, i, { answers: some, haystack: null });
    }).filter(function (i) {
      return i.answers.length && is[filter](i) && terms.every(function (t) { return text(i).indexOf(t) >= 0; });
    }).sort(order[sort.value] || order.row);
    list.textContent = "";
    shown = 0;
    extend();
  }

  document.querySelectorAll("#filters button").forEach(function (b) {
    b.addEventListener("click", function () {
      filter = b.value;
      document.querySelectorAll("#filters button").forEach(function (o) { o.setAttribute("aria-pressed", String(o === b)); });
      apply();
    });
  });
  var waiting = 0;
  search.addEventListener("input", function () { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
  sort.addEventListener("change", apply);
  model.addEventListener("change", apply);
  more.addEventListener("click", extend);
  document.getElementById("explorer").hidden = false;
  apply();
  document.documentElement.setAttribute("data-ready", "yes");
})();
