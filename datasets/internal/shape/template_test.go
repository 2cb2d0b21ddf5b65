package shape

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
)

// rendered renders a template over a row.
func rendered(t testing.TB, source, raw string) (string, problem.Reason) {
	t.Helper()
	compiled, err := compile("prompt", source)
	if err != nil {
		t.Fatal(err)
	}
	b := Builder{Rules: &Rules{ids: []path{{name: "id"}}, shape: templated, templates: templates{prompt: compiled}}}
	b.names = b.namer()
	r, c := b.Parse([]byte(raw))
	if c.Bad() {
		t.Fatalf("%s: %s", raw, c.What)
	}
	return compiled.render(b.variables(r, 4, 2))
}

func TestTemplates(t *testing.T) {
	const row = `{"a":"x{{ 7*7 }}","n":12345678901234567890,"i":3,"f":1.10,"e":1e5,"g":2.5,"t":true,"z":null,
		"list":["p","q<&>'"],"o":{"b":1,"a":[1.50,null,"é"]},"odd name":"odd","row":"own","text":"a\nb"}`
	for _, tc := range []struct{ source, want, bad string }{
		{"{{ a }}", "x{{ 7*7 }}", ""},
		{"{{ a }}{{ '{{ a }}' }}", "x{{ 7*7 }}{{ a }}", ""},
		{"{{ n }} {{ i }} {{ f }} {{ e }} {{ g }}", "12345678901234567890 3 1.10 1e5 2.5", ""},
		{"{{ i + 1 }} {{ g * 2 }} {{ f | float + 1 }}", "4 5.0 2.1", ""},
		{"{{ t }} [{{ z }}]", "True []", ""},
		{"{% for x in list %}{{ loop.index }}{{ x }}{% if not loop.last %};{% endif %}{% endfor %}", "1p;2q<&>'", ""},
		{"{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}", "01253", ""},
		{"{{ list | tojson }} {{ o | tojson }}", `["p", "q<&>'"] {"a": [1.50, null, "é"], "b": 1}`, ""},
		{"{{ o | tojson(indent=1) }}", "{\n \"a\": [\n  1.50,\n  null,\n  \"é\"\n ],\n \"b\": 1\n}", ""},
		{"{{ o.a[2] }} {{ o['b'] }} {{ list[-1] }}", "é 1 q<&>'", ""},
		{`{{ row["odd name"] }} {{ row.a }} {{ row["row"] }}`, "odd x{{ 7*7 }} own", ""},
		{"{{ id }} {{ index }} {{ epoch }}", "4 4 2", ""},
		{"{{ nothing | default('none') }}{% if nothing is defined %}!{% endif %}", "none", ""},
		{"{% if i == 3 and list | length > 1 %}yes{% else %}no{% endif %}", "yes", ""},
		{"{% set x = a | upper %}{{ x | replace('X', 'Y') }}", "Y{{ 7*7 }}", ""},
		{"{% raw %}{{ a }}{% endraw %}{# gone #}", "{{ a }}", ""},
		{"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(i) }}", "<3>", ""},
		{"{{ text | indent(2) }}", "a\n  b", ""},
		{"{{ nothing }}", "", `names "nothing", which the row does not have`},
		{"{{ o.c }}", "", `names "o.c"`},
		{"{{ o.c }}{{ list[0].c }}", "", `names "c",`}, // of which of them, nothing says
		{"{{ zz }}{{ o.c }}{{ a }}{{ zz }}{{ o.e }}", "", `names "zz", "o.c" and "o.e", which`},
		{"{{ zz }}{% set x = yy %}{{ x }}", "", `names "zz" and "yy", which`},
		{"{{ row['zz'] }}", "", `names "zz"`},
		{"{{ list[5] }}", "", `names "list[5]"`},
		{"{% for x in nothing %}{% endfor %}", "", `names "nothing"`},
		{"{{ i / nothing }}", "", `names "nothing"`},
		{"{{ list | random }}", "", "random is not there"},
		{"{{ lipsum() }}", "", "lipsum"},
		{"{{ a * -1 }}", "", "the prompt template fails"},
		{"{% for i in range(100000000) %}x{% endfor %}", "", "more than a million"},
		{"{% for i in range(100000) %}{{ '%1000d' | format(i) }}{% endfor %}", "", "grows beyond 64 MiB"},
	} {
		got, c := rendered(t, tc.source, row)
		if tc.bad == "" && (c.Bad() || got != tc.want) {
			t.Errorf("%s = %q (%v), want %q", tc.source, got, c, tc.want)
		}
		if tc.bad != "" && !strings.Contains(c.What, tc.bad) {
			t.Errorf("%s: %q (%+v), want a complaint with %q", tc.source, got, c, tc.bad)
		}
	}
	for _, source := range []string{"{% include '/etc/passwd' %}", "{% import 'x' as y %}", "{% from 'x' import y %}",
		"{% extends 'x' %}",
		"{{ a", "{% if %}", "{% endfor %}", "{% nosuch %}"} {
		if _, err := compile("prompt", source); err == nil {
			t.Errorf("%s compiles", source)
		}
	}
}

// Objects keep the order of the row, and texts are counted in characters. What
// is wanted is what Jinja 3.1.6 makes of the same templates.
func TestTemplatesAsJinja(t *testing.T) {
	const row = `{"name":"Über","cn":"中文字","o":{"2":"two","10":"ten","1":"one"},
		"n":{"z":{"b":1,"a":[3,1,2]},"a":{"y":"Ü","x":"q"}},
		"l":[3,1,2],"e":{},"Keys":"field","w":"año día"}`
	for _, tc := range []struct{ source, want string }{
		{`{{ name[0] }}|{{ name[-1] }}|{{ cn[1] }}|{{ cn[-3] }}|{{ name[0:2] }}|{{ cn[1:] }}|{{ cn[-2:] }}|{{ name[::-1] }}`,
			`Ü|r|文|中|Üb|文字|文字|rebÜ`},
		{`{{ (name|upper)[0] }}{{ (name|lower)[0] }}{{ name.upper()[0] }}{{ name[1:][0] }}{{ (name ~ cn)[4] }}{{ ` +
			`'Öl'[0] }}{{ (cn + 'x')[-2] }}{{ name|first }}{{ cn|last }}{{ cn|length }}{{ name|reverse }}{{ cn|` +
			`list|join('-') }}{{ cn|join('.') }}`,
			`ÜüÜb中Ö字Ü字3rebÜ中-文-字中.文.字`},
		{`{% set q = cn[1] %}{{ q }}{% set t = name ~ '!' %}{{ t[0] }}{% with z = name[0] %}{{ z }}{% endwith %}{% ` +
			`filter upper %}{{ name[0] }}{% endfilter %}{% macro m(x) %}{{ x[0] }}{% endmacro %}{{ m(name) }}{% ` +
			`for c in cn %}{{ loop.index }}{{ c }}{% endfor %}{% if name[0] == 'Ü' %}yes{% endif %}{{ w.split(' ')[1][1] }}`,
			`文ÜÜÜÜ1中2文3字yesí`},
		{`{% for k, v in o.items() %}{{ k }}={{ v }} {% endfor %}{% for k in o %}{{ k }},{% endfor %}{% for k in ` +
			`o.keys() %}{{ k }},{% endfor %}{% for v in o.values() %}{{ v }},{% endfor %}`,
			`2=two 10=ten 1=one 2,10,1,2,10,1,two,ten,one,`},
		{`{{ o }} {{ n }}`,
			`{'2': 'two', '10': 'ten', '1': 'one'} {'z': {'b': 1, 'a': [3, 1, 2]}, 'a': {'y': 'Ü', 'x': 'q'}}`},
		{`{{ o|join(',') }} {{ o|first }} {{ o|last }} {{ o|list|join(' ') }} {{ o|length }} {{ o|tojson }}`,
			`2,10,1 2 1 2 10 1 3 {"1": "one", "10": "ten", "2": "two"}`},
		{`{% for k, v in o|items %}{{ k }}{{ v }} {% endfor %}{% for k, v in o|dictsort %}{{ k }}{{ v }} {% endfor ` +
			`%}{% for k, v in o|dictsort(by='value', reverse=true) %}{{ k }}{{ v }} {% endfor %}`,
			`2two 10ten 1one 1one 10ten 2two 2two 10ten 1one `},
		{`{% for k, v in n.items() %}{{ k }}:{% for a, b in v.items() %}{{ a }}{{ b }};{% endfor %}{% endfor %}{{ ` +
			`n.z.b }}{{ n['a']['y'][0] }}{{ n.z.a[-3] }}{{ n.a.y[0] }}`,
			`z:b1;a[3, 1, 2];a:yÜ;xq;1Ü3Ü`},
		{`{% for k, v in row.items() %}{{ k }} {% endfor %}{{ row.Keys }} {{ Keys }} {{ row['name'][0] }}`,
			`name cn o n l e Keys w field field Ü`},
		{`{{ l|reverse|join(',') }} {{ l|sort|join(',') }} {{ l[-3] }} {{ l[::-1]|join(',') }} {{ o|reverse|join(',` +
			`') }} {{ o.values()|list|reverse|join(',') }} {{ o.items()|list|last }}`,
			`2,1,3 1,2,3 3 2,1,3 1,10,2 one,ten,two ('1', 'one')`},
		{`{{ o.get('2') }} {{ o.get('9', 'none') }} {{ '2' in o }} {{ 2 in l }} {% if e %}full{% else %}empty{% ` +
			`endif %} {{ e }} {{ e.items()|list }} {{ o.pop('10') }} {{ o }} {% do o.update({'9':'nine'}) %}{{ o ` +
			`}} {{ o.setdefault('8','eight') }} {{ o|length }}`,
			`two none True True empty {} [] ten {'2': 'two', '1': 'one'} {'2': 'two', '1': 'one', '9': 'nine'} eight 4`},
		{`{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %} {{ dict(q=1).items()|list }} {{ n|` +
			`tojson(indent=1) }}`,
			`b1a2 [('q', 1)] {
 "a": {
  "x": "q",
  "y": "Ü"
 },
 "z": {
  "a": [
   3,
   1,
   2
  ],
  "b": 1
 }
}`},
		{`{{ n.a.items()|map('first')|join(',') }} {{ cn|map('upper')|list }} {{ [n.z, n.z]|map(attribute='b')|` +
			`join }} {{ 'a-b'.split('-')[1] }} {{ o|map('length')|list }} {{ [{'k':2},{'k':1}]|sort(attribute='k')|` +
			`map(attribute='k')|list }}`,
			`y,x ['中', '文', '字'] 11 b [1, 2, 1] [1, 2]`},
		{`{{ cn|sort|join }} {{ cn|unique|list }} {{ cn|batch(2)|list }} {{ name|title }} {{ name|center(8) }} {{ ` +
			`o.items()|length }} {{ 'x' if name[0]=='Ü' else 'y' }}`,
			`中字文 ['中', '文', '字'] [['中', '文'], ['字']] Über   Über   3 x`},
		{`{% set ns = namespace(x=0) %}{% for k in o %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}`, "3"},
		{`{{ o.zz is defined }} {{ o.zz|default('d') }} {{ n.zz.yy|default('d') }} {{ o['2']|default('x') }}`,
			"False d d two"},
		{`{% for k, v in o.items() if k != '2' %}{% if loop.first %}{{ k }}{% endif %}{% endfor %}`, "10"},
	} {
		if got, c := rendered(t, tc.source, row); c.Bad() || got != tc.want {
			t.Errorf("%s = %q (%v), want %q", tc.source, got, c, tc.want)
		}
	}
	for _, source := range []string{"{{ name[9] }}", "{{ name[-5] }}", "{{ l[-4] }}", "{{ o.keys }}", "{{ row.items }}",
		"{{ o.Pairs }}"} {
		if got, c := rendered(t, source, row); !strings.Contains(c.What, "which the row does not have") {
			t.Errorf("%s = %q, %+v: it is not there", source, got, c)
		}
	}
	if _, c := rendered(t, "{{ o.get('a', 'b', 'c')[0] }}", row); strings.Contains(c.What, "filter") ||
		!strings.Contains(c.What, "at most one default") {
		t.Errorf("%q: the error shows filters that nobody wrote", c.What)
	}
}

// Templates are shared by all readers.
func TestTemplatesAtOnce(t *testing.T) {
	compiled, err := compile("prompt", "{% for x in list %}{{ x }}{% endfor %}{{ id }}")
	if err != nil {
		t.Fatal(err)
	}
	shared := &Rules{ids: []path{{name: "id"}}, shape: templated, templates: templates{prompt: compiled}}
	shared.names = shared.namer()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := Builder{Rules: shared}
			raw := []byte(`{"id":"` + strconv.Itoa(i) + `","list":[1,2,3]}`)
			for range 50 {
				r, _ := b.Parse(raw)
				if got, c := compiled.render(b.variables(r, 0, 0)); got != "123"+strconv.Itoa(i) {
					t.Errorf("%q, %v", got, c)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzTemplateValues: whatever a field holds comes out as it is.
func FuzzTemplateValues(f *testing.F) {
	for _, s := range []string{"", "{{ 7*7 }}", "{% for x in row %}{% endfor %}", "{{ secret }}", "{#", "}}",
		"\x00\xff", "{{ '{{' }}", "{% raw %}"} {
		f.Add(s)
	}
	compiled, err := compile("prompt", "<{{ v }}|{{ row.v }}|{{ [v] | join }}>")
	if err != nil {
		f.Fatal(err)
	}
	b := Builder{Rules: &Rules{shape: templated, templates: templates{prompt: compiled}}}
	b.names = b.namer()
	f.Fuzz(func(t *testing.T, s string) {
		raw := append(append([]byte(`{"secret":"no","v":`), rowjson.Quote(strings.ToValidUTF8(s, "?"))...), '}')
		r, c := b.Parse(raw)
		if c.Bad() {
			t.Fatalf("%s: %s", raw, c.What)
		}
		got, c := compiled.render(b.variables(r, 0, 0))
		v := strings.ToValidUTF8(s, "?")
		if want := "<" + v + "|" + v + "|" + v + ">"; c.Bad() || got != want {
			t.Errorf("%q renders as %q (%+v)", s, got, c)
		}
	})
}
