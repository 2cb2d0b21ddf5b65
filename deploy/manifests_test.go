// Package deploy checks the manifests beside it. It is a module of its own, so
// that the program does not depend on the types of the Kubernetes API.
package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
)

// manifests are all objects, by file; a field that the API does not know, or
// that is there twice, fails the test.
func manifests(t *testing.T) map[string][]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
		networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme,
		json.SerializerOptions{Yaml: true, Strict: true})
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no manifests", err)
	}
	all := map[string][]runtime.Object{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range bytes.Split(text, []byte("\n---\n")) {
			o, _, err := decoder.Decode(doc, nil, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			all[name] = append(all[name], o)
		}
	}
	return all
}

// A pod is what starts one, with the labels that its owner selects by.
type pod struct {
	file     string
	template corev1.PodTemplateSpec
	selector *metav1.LabelSelector // nil for a Job, which makes its own
}

func pods(all map[string][]runtime.Object) (list []pod) {
	for file, objects := range all {
		for _, o := range objects {
			switch o := o.(type) {
			case *batchv1.Job:
				list = append(list, pod{file, o.Spec.Template, nil})
			case *appsv1.Deployment:
				list = append(list, pod{file, o.Spec.Template, o.Spec.Selector})
			}
		}
	}
	return list
}

func selects(t *testing.T, s *metav1.LabelSelector, on map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(on))
}

// The API knows every field; what selects pods finds them; what is mounted is
// there; and no pod runs as root with more than it needs.
func TestManifests(t *testing.T) {
	all := manifests(t)
	list := pods(all)
	if len(list) != 3 {
		t.Fatalf("%d pods: hub, workers and workers with a model server were looked for", len(list))
	}
	for _, p := range list {
		if p.selector != nil && !selects(t, p.selector, p.template.Labels) {
			t.Errorf("%s: the selector does not find the pods that it makes", p.file)
		}
		spec := p.template.Spec
		volumes := map[string]corev1.Volume{}
		for _, v := range spec.Volumes {
			volumes[v.Name] = v
		}
		for _, c := range append(slices.Clone(spec.InitContainers), spec.Containers...) {
			for _, m := range c.VolumeMounts {
				if _, ok := volumes[m.Name]; !ok {
					t.Errorf("%s: %s mounts %s, which is no volume", p.file, c.Name, m.Name)
				}
			}
		}
		joinFiles(t, p, volumes["join"])
		for _, c := range spec.Containers {
			restricted(t, p.file, spec.SecurityContext, c)
		}
	}
}

// joinFiles checks that the secret can be read by the pod's user alone, and that
// the hub's key stays with the hub.
func joinFiles(t *testing.T, p pod, v corev1.Volume) {
	t.Helper()
	if v.Secret == nil || v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o400 {
		t.Errorf("%s: the join files are no secret of mode 0400", p.file)
		return
	}
	security := p.template.Spec.SecurityContext
	if security == nil || security.FSGroup == nil {
		t.Errorf("%s: without fsGroup, nobody but root can read the secret", p.file)
	}
	hub := p.template.Labels["role"] == "hub"
	if whole := len(v.Secret.Items) == 0; whole != hub {
		t.Errorf("%s: hub %v, all join files %v", p.file, hub, whole)
	}
}

func restricted(t *testing.T, file string, pod *corev1.PodSecurityContext, c corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	switch {
	case s == nil, s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation, s.Capabilities == nil,
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
		t.Errorf("%s: container %s may do more than it needs", file, c.Name)
	case (s.RunAsNonRoot == nil || !*s.RunAsNonRoot) && (pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot):
		t.Errorf("%s: container %s may be root", file, c.Name)
	}
}

// Workers reach the hub, through the service, at the port that it listens on, and
// nobody else does.
func TestManifestsFitTogether(t *testing.T) {
	all := manifests(t)
	var service *corev1.Service
	policies := map[string]*networkingv1.NetworkPolicy{}
	for _, objects := range all {
		for _, o := range objects {
			switch o := o.(type) {
			case *corev1.Service:
				service = o
			case *networkingv1.NetworkPolicy:
				policies[o.Name] = o
			}
		}
	}
	hub, workers := policies["tonight-hub"], policies["tonight-workers"]
	if service == nil || hub == nil || workers == nil {
		t.Fatal("service or policies are missing")
	}
	const port = 7420
	if service.Spec.Ports[0].Port != port || hub.Spec.Ingress[0].Ports[0].Port.IntValue() != port ||
		workers.Spec.Egress[0].Ports[0].Port.IntValue() != port {
		t.Error("service and policies name different ports")
	}
	for _, p := range pods(all) {
		on, isHub := p.template.Labels, p.template.Labels["role"] == "hub"
		if labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(on)) != isHub {
			t.Errorf("%s: the service must find the hub alone", p.file)
		}
		if selects(t, &hub.Spec.PodSelector, on) != isHub || selects(t, &workers.Spec.PodSelector, on) == isHub ||
			selects(t, hub.Spec.Ingress[0].From[0].PodSelector, on) == isHub ||
			selects(t, workers.Spec.Egress[0].To[0].PodSelector, on) != isHub {
			t.Errorf("%s: the policies do not fit its labels", p.file)
		}
	}
	if len(workers.Spec.Ingress) > 0 {
		t.Error("somebody reaches workers")
	}
}

var flag = regexp.MustCompile(`^--([a-z-]+)`)

// The program has every command and flag that the manifests use.
func TestManifestsUseFlagsThatExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "nightshift")
	build := exec.Command("go", "build", "-o", binary, "./cmd/nightshift")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checked := 0
	for _, p := range pods(manifests(t)) {
		for _, c := range p.template.Spec.Containers {
			help, err := exec.Command(binary, c.Args[0], "--help").CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v", c.Args[0], err)
			}
			for _, arg := range c.Args[1:] {
				name := flag.FindStringSubmatch(arg)
				if name == nil {
					continue
				}
				checked++
				if !strings.Contains(string(help), "--"+name[1]+" ") {
					t.Errorf("%s: nightshift %s has no --%s", p.file, c.Args[0], name[1])
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("%d flags were looked up", checked)
	}
}
