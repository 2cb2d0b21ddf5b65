"use strict";
// Everything that comes from a model or a dataset goes into the page as a text
// node: nothing here builds markup from it.
var nightshift = (function () {
  var hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;

  function el(name, className, text) {
    var e = document.createElement(name);
    if (className) e.className = className;
    if (text !== undefined && text !== null) e.appendChild(document.createTextNode(text));
    return e;
  }

  // put adds a text, with characters that cannot be seen written out.
  function put(parent, text) {
    text = String(text);
    var from = 0;
    for (var i = 0; i < text.length; i++) {
      if (!hidden.test(text[i])) continue;
      if (i > from) parent.appendChild(document.createTextNode(text.slice(from, i)));
      parent.appendChild(el("span", "esc", "\\u" + ("000" + text.charCodeAt(i).toString(16)).slice(-4)));
      from = i + 1;
    }
    if (from < text.length) parent.appendChild(document.createTextNode(text.slice(from)));
    return parent;
  }

  function count(n) { return n === null || n === undefined ? "–" : Number(n).toLocaleString("en-US"); }

  function money(nano, atLeast) {
    if (nano === null || nano === undefined) return "unknown";
    var usd = nano / 1e9;
    var s = "$" + usd.toFixed(usd !== 0 && Math.abs(usd) < 1 ? 6 : 2);
    return atLeast ? "≥ " + s : s;
  }

  function time(ms) {
    if (ms === null || ms === undefined) return "–";
    return ms < 1000 ? Math.round(ms) + " ms" : (ms / 1000).toFixed(2) + " s";
  }

  // words cuts a text into words and the space between them.
  function words(text) { return text.match(/\s+|[^\s]+/g) || []; }

  // common marks which words two lists share, by their longest common
  // subsequence. Long texts are compared by their beginnings and ends alone.
  function common(a, b) {
    var start = 0, end = 0, i, j;
    while (start < a.length && start < b.length && a[start] === b[start]) start++;
    while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
    var x = a.slice(start, a.length - end), y = b.slice(start, b.length - end);
    var inA = [], inB = [];
    for (i = 0; i < a.length; i++) inA.push(i < start || i >= a.length - end);
    for (j = 0; j < b.length; j++) inB.push(j < start || j >= b.length - end);
    if (x.length * y.length > 1000000) return [inA, inB];
    var rows = [], width = y.length + 1;
    for (i = 0; i <= x.length; i++) rows.push(new Uint16Array(width));
    for (i = x.length - 1; i >= 0; i--)
      for (j = y.length - 1; j >= 0; j--)
        rows[i][j] = x[i] === y[j] ? rows[i + 1][j + 1] + 1 : Math.max(rows[i + 1][j], rows[i][j + 1]);
    i = 0; j = 0;
    while (i < x.length && j < y.length) {
      if (x[i] === y[j]) { inA[start + i] = true; inB[start + j] = true; i++; j++; }
      else if (rows[i + 1][j] >= rows[i][j + 1]) i++;
      else j++;
    }
    return [inA, inB];
  }

  // compare writes a text with the words marked that other lacks.
  function compare(parent, text, other) {
    var a = words(text), shared = common(a, words(other))[0], i = 0;
    while (i < a.length) {
      var same = shared[i], run = "";
      while (i < a.length && (shared[i] === same || !same && /^\s+$/.test(a[i]))) run += a[i++];
      put(same ? parent : parent.appendChild(el("mark", "diff")), run);
    }
  }

  function section(parent, title, text, className) {
    if (text === null || text === undefined || text === "") return null;
    parent.appendChild(el("h5", "", title));
    var pre = el("pre", className || "");
    pre.dir = "auto";
    pre.tabIndex = 0;
    put(pre, text);
    parent.appendChild(pre);
    return pre;
  }

  // prompt shows messages one under the other, or what else there is as it is.
  function prompt(parent, item) {
    section(parent, "System", item.system);
    var messages = null;
    try { messages = JSON.parse(item.input); } catch (e) { messages = null; }
    if (!Array.isArray(messages)) { section(parent, "Prompt", item.input); return; }
    messages.forEach(function (m) {
      var text = m && typeof m.content === "string" ? m.content : JSON.stringify(m && m.content !== undefined ? m.content : m, null, 1);
      section(parent, m && typeof m.role === "string" ? m.role : "message", text);
    });
  }

  function facts(a) {
    var list = el("p", "facts");
    function fact(text, className) { put(list.appendChild(el("span", className || "fact")), text); }
    fact(a.outcome, "chip o-" + a.outcome);
    if (a.stop) fact("stop: " + a.stop);
    (a.scores || []).forEach(function (s) { fact("score " + s.scorer + ": " + (s.value === null || s.value === undefined ? s.status : s.value)); });
    fact(money(a.cost_nano_usd, a.at_least));
    fact(count(a.input_tokens) + " in, " + count(a.output_tokens) + " out" + (a.reasoning_tokens ? ", " + count(a.reasoning_tokens) + " of it reasoning" : ""));
    fact(time(a.latency_ms));
    if (a.served_model) fact("answered by " + a.served_model);
    if (a.flags) fact("flags: " + a.flags);
    return list;
  }

  function attempts(parent, log) {
    if (!log || !log.length) return;
    var d = el("details", "attempts");
    d.appendChild(el("summary", "", log.length + (log.length === 1 ? " request" : " requests")));
    var list = el("ol");
    log.forEach(function (t) {
      var li = list.appendChild(el("li"));
      put(li, [t.started_at, time(t.duration_ms), t.status ? "HTTP " + t.status : "", t.class || "answered",
        t.maybe_billed ? "may have been billed" : "", t.request_id || "", t.message || ""].filter(Boolean).join(" · "));
    });
    d.appendChild(list);
    parent.appendChild(d);
  }

  function answer(parent, a, first) {
    var box = parent.appendChild(el("section", "answer"));
    put(box.appendChild(el("h4", "model")), a.model + (a.epoch ? ", repetition " + (a.epoch + 1) : ""));
    box.appendChild(facts(a));
    if (a.error_message) section(box, "Error" + (a.error_class ? ": " + a.error_class : ""), a.error_message, "error");
    var pre = section(box, "Answer", a.text);
    if (pre && first && first !== a && first.text) {
      pre.textContent = "";
      compare(pre, a.text, first.text);
      pre.title = "marked: what the first answer does not have";
    }
    section(box, "Tool calls", a.tool_calls);
    if (a.thinking) {
      var d = box.appendChild(el("details"));
      d.appendChild(el("summary", "", "Thinking"));
      section(d, "Thinking", a.thinking);
    }
    (a.scores || []).forEach(function (s) {
      if (s.answer || s.explanation) section(box, "Found by " + s.scorer, [s.answer, s.explanation].filter(Boolean).join("\n"));
    });
    attempts(box, a.attempts);
  }

  function detail(parent, item) {
    parent.textContent = "";
    var p = parent.appendChild(el("section", "prompt"));
    prompt(p, item);
    section(p, "Target", item.target);
    section(p, "Metadata", item.metadata);
    var all = parent.appendChild(el("div", "answers"));
    var first = item.answers.filter(function (a) { return a.text; })[0];
    item.answers.forEach(function (a) { answer(all, a, first); });
    if (item.cut) parent.appendChild(el("p", "note", "Long texts are cut here; the query below has them whole."));
  }

  // marks has a tick, a cross or a value for each scorer.
  function marks(parent, scores) {
    scores.forEach(function (s, i) {
      var known = s.value !== null && s.value !== undefined, mark = "?", kind = "partly", said = s.status;
      if (known && s.value === 1) { mark = "✓"; kind = "right"; said = "right"; }
      else if (known && s.value === 0) { mark = "✗"; kind = "wrong"; said = s.status === "scored" ? "wrong" : s.status; }
      else if (known) { mark = said = String(Math.round(s.value * 1000) / 1000); }
      var m = parent.appendChild(el("span", kind, (i ? " " : "") + mark));
      m.setAttribute("role", "img");
      m.setAttribute("aria-label", s.scorer + ": " + said);
      m.title = s.scorer + ": " + said;
    });
  }

  // entry is one line of the list; load(item, done) completes an item before
  // it is opened.
  function entry(item, load) {
    var d = el("details", "item");
    var s = d.appendChild(el("summary"));
    put(s.appendChild(el("span", "id")), item.id + (item.epoch ? " #" + (item.epoch + 1) : ""));
    if (item.category) put(s.appendChild(el("span", "cat")), item.category);
    item.answers.forEach(function (a) {
      var one = s.appendChild(el("span", "brief"));
      put(one.appendChild(el("span", "chip o-" + a.outcome)), a.outcome);
      if (a.scores && a.scores.length) marks(one.appendChild(el("span", "marks")), a.scores);
      put(one.appendChild(el("span", "name")), a.model);
      var text = one.appendChild(el("bdi", "gist"));
      put(text, (a.text || a.error_message || "").slice(0, 160).replace(/\s+/g, " "));
    });
    var known = item.answers.filter(function (a) { return a.cost_nano_usd !== null; });
    put(s.appendChild(el("span", "cost")), known.length ? money(known.reduce(function (n, a) { return n + a.cost_nano_usd; }, 0),
      known.length < item.answers.length || known.some(function (a) { return a.at_least; })) : "cost unknown");
    var body = d.appendChild(el("div", "body"));
    d.addEventListener("toggle", function () {
      if (!d.open || body.firstChild) return;
      load(item, function (whole) { detail(body, whole); });
    });
    return d;
  }

  return { el: el, put: put, count: count, money: money, time: time, entry: entry, detail: detail, compare: compare, words: words, common: common };
})();
