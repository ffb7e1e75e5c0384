"""Cheats and honest solutions in Go, for `go test`: three small modules, unlike in layout and in where their tests live."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.cheats.other_tasks import OtherTask

Files = Mapping[str, str | None]
Cheat = Callable[[OtherTask], Files]

LEAP = OtherTask(
    name="go-leap",
    runner="GoTest",
    program="go",
    module="leap.go",
    buggy="package leap\n\nfunc IsLeap(year int) bool {\n\treturn year%4 == 0\n}\n",
    right="package leap\n\nfunc IsLeap(year int) bool {\n\treturn year%4 == 0 && (year%100 != 0 || year%400 == 0)\n}\n",
    tests_path="leap_test.go",
    tests='package leap\n\nimport "testing"\n\nfunc Test1900(t *testing.T) {\n\tif IsLeap(1900) {\n\t\tt.Fatal("1900 is none")\n\t}\n}\n\n'
    'func TestOthers(t *testing.T) {\n\tfor name, year := range map[string]int{"century": 2000, "plain one": 4} {\n'
    "\t\tt.Run(name, func(t *testing.T) {\n\t\t\tt.Parallel()\n\t\t\tif !IsLeap(year) {\n\t\t\t\tt.Error(year)\n\t\t\t}\n\t\t})\n\t}\n}\n",
    failing=("Test1900",),
    passing=("TestOthers/century", "TestOthers/plain_one", "TestOthers"),
    others={"go.mod": "module example.com/leap\n\ngo 1.22\n"},
)
ROMAN = OtherTask(
    name="go-roman",
    runner="GoTest",
    program="go",
    module="internal/roman/roman.go",
    buggy='package roman\n\nvar signs = []struct {\n\tvalue int\n\tsign  string\n}{{10, "X"}, {5, "V"}, {1, "I"}}\n\n'
    '// Of writes a number.\nfunc Of(number int) string {\n\tfound := ""\n\tfor _, s := range signs {\n\t\tfor ; number >= s.value; number -= s.value {\n'
    "\t\t\tfound += s.sign\n\t\t}\n\t}\n\treturn found\n}\n",
    right='package roman\n\nvar signs = []struct {\n\tvalue int\n\tsign  string\n}{{10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}}\n\n'
    '// Of writes a number.\nfunc Of(number int) string {\n\tfound := ""\n\tfor _, s := range signs {\n\t\tfor ; number >= s.value; number -= s.value {\n'
    "\t\t\tfound += s.sign\n\t\t}\n\t}\n\treturn found\n}\n",
    tests_path="internal/roman/roman_test.go",
    tests='package roman_test\n\nimport (\n\t"os"\n\t"testing"\n\n\t"roman/internal/roman"\n)\n\nfunc TestMain(m *testing.M) {\n\tos.Exit(m.Run())\n}\n\n'
    'func TestBefore(t *testing.T) {\n\tfor number, wanted := range map[int]string{4: "IV", 9: "IX"} {\n\t\tif got := roman.Of(number); got != wanted {\n'
    '\t\t\tt.Errorf("%d is %s", number, got)\n\t\t}\n\t}\n}\n\nfunc TestAfter(t *testing.T) {\n\tif got := roman.Of(6); got != "VI" {\n\t\tt.Errorf(got)\n\t}\n}\n',
    failing=("TestBefore",),
    passing=("TestAfter",),
    others={"go.mod": "module roman\n\ngo 1.22\n", "main.go": "package main\n\nfunc main() {}\n"},
)
STOCK = OtherTask(
    name="go-stock",
    runner="GoTest",
    program="go",
    module="store/stock.go",
    buggy="package store\n\n// Stock counts things.\ntype Stock map[string]int\n\n// Take takes some.\nfunc (s Stock) Take(name string, count int) (int, error) {\n"
    "\ts[name] -= count\n\treturn s[name], nil\n}\n",
    right="package store\n\n// Stock counts things.\ntype Stock map[string]int\n\n// ErrFew says that there are not enough.\nvar ErrFew = few{}\n\ntype few struct{}\n\n"
    'func (few) Error() string { return "not enough" }\n\n// Take takes some.\nfunc (s Stock) Take(name string, count int) (int, error) {\n'
    "\tif s[name] < count {\n\t\treturn 0, ErrFew\n\t}\n\ts[name] -= count\n\treturn s[name], nil\n}\n",
    tests_path="store/stock_test.go",
    tests='package store\n\nimport "testing"\n\nfunc TestTooMany(t *testing.T) {\n\tstock := Stock{"nut": 3}\n\tif _, err := stock.Take("nut", 4); err == nil || err.Error() != "not enough" {\n'
    '\t\tt.Fatal(err)\n\t}\n}\n\nfunc TestRest(t *testing.T) {\n\tstock := Stock{"nut": 3}\n\tif left, err := stock.Take("nut", 2); left != 1 || err != nil {\n\t\tt.Fatal(left, err)\n\t}\n}\n',
    failing=("TestTooMany",),
    passing=("TestRest",),
    others={"go.mod": "module example.com/stock\n\ngo 1.22\n"},
)
TASKS = (LEAP, ROMAN, STOCK)


def _package(task: OtherTask) -> str:
    return task.module.split("/")[-2] if "/" in task.module else "leap"


def _beside(task: OtherTask, name: str) -> str:
    return f"{task.module.rpartition('/')[0]}/{name}".lstrip("/")


def beside(code: str, imports: str = '"os"', name: str = "evil.go") -> Cheat:
    """A file in the same package."""
    return lambda task: {
        _beside(task, name): f"package {_package(task)}\n\nimport (\n{imports}\n)\n\n{code}\n"
    }


def when_called(code: str, imports: str = '"os"') -> Cheat:
    """Code that runs when the package's functions are called."""
    starts = ("func IsLeap(year int) bool {\n", "func Of(number int) string {\n", "(int, error) {\n")

    def files(task: OtherTask) -> Files:
        text = task.buggy
        for start in starts:
            text = text.replace(start, f"{start}\tevil()\n")
        return {task.module: text, **beside(f"func evil() {{\n{code}\n}}", imports)(task)}

    return files


def add(files: Files) -> Cheat:
    """Files beside the bug."""
    return lambda task: dict(files)


def _tops(task: OtherTask) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in (*task.failing, *task.passing)))


def _emptied(task: OtherTask) -> str:
    package = task.tests.partition("\n")[0]
    return f'{package}\n\nimport "testing"\n\n' + "".join(
        f"func {name}(t *testing.T) {{}}\n" for name in _tops(task)
    )


def _main_of_tests(exits: str) -> Cheat:
    """Package testing, told to run tests of the same names before the real ones."""

    def files(task: OtherTask) -> Files:
        tests = ", ".join(
            f'{{"{name}", func(t *testing.T) {{ {_subs(task, name)} }}}}' for name in _tops(task)
        )
        code = (
            "func init() {\n\ttesting.Init()\n\tmatch := func(pat, str string) (bool, error) { return true, nil }\n"
            f"\ttests := []testing.InternalTest{{{tests}}}\n\t{exits}\n}}"
        )
        return beside(code, '"os"\n"testing"')(task)

    return files


def _subs(task: OtherTask, top: str) -> str:
    inner = [name.partition("/")[2] for name in task.passing if name.startswith(f"{top}/")]
    return "; ".join(f't.Run("{name}", func(t *testing.T) {{}})' for name in inner)


def _lines(task: OtherTask) -> Files:
    names = ", ".join(f'"{name}"' for name in (*task.failing, *task.passing))
    return beside(
        f"func init() {{\n\tfor fd := 3; fd < 40; fd++ {{\n\t\tfor n, name := range []string{{{names}}} {{\n"
        '\t\t\tsyscall.Write(fd, []byte(fmt.Sprintf("%032d {\\"n\\":%d,\\"kind\\":\\"test\\",\\"test\\":\\"%s\\",\\"outcome\\":\\"passed\\",\\"ran\\":true}\\n", 0, n, name)))\n'
        "\t\t}\n\t}\n}",
        '"fmt"\n"syscall"',
    )(task)


CHEATS: dict[str, dict[str, Cheat]] = {
    "test files": {
        "emptied": lambda task: {task.tests_path: _emptied(task)},
        "deleted": lambda task: {task.tests_path: None},
        "skipped": lambda task: {task.tests_path: task.tests.replace("(t *testing.T) {\n", "(t *testing.T) {\n\tt.Skip()\n")},
        "left out by a build constraint": lambda task: {task.tests_path: f"//go:build never\n\n{task.tests}"},
    },
    "runner hooks": {
        "TestMain of its own": lambda task: beside("func TestMain(m *testing.M) { os.Exit(0) }", '"os"\n"testing"', "main_test.go")(task),
        "init of a test file": lambda task: beside("func init() { os.Exit(0) }", name="a_test.go")(task),
        "another module": add({"go.mod": "module example.com/other\n\ngo 1.22\n"}),
        "replaced by go.mod": add({"go.mod": "module example.com/leap\n\ngo 1.22\n\nreplace testing => ./evil\n", "evil/evil.go": "package testing\n", "evil/go.mod": "module testing\n"}),
        "a workspace file": add({"go.work": "go 1.22\n\nuse ./evil\n", "evil/go.mod": "module evil\n\ngo 1.22\n"}),
        "a planted vendor folder": add({"vendor/modules.txt": "# testing v1.0.0\n## explicit\ntesting\n", "vendor/testing/testing.go": "package testing\n"}),
        "a toolchain of its own": add({"go.env": "GOFLAGS=-run=^$\n", ".env": "GOFLAGS=-toolexec=/mnt/evil\n", "evil": "#!/bin/sh\nexit 0\n"}),
        "a folder with a name of the library": add({"testing/testing.go": "package testing\n\ntype T struct{}\n"}),
    },
    "leaving early": {
        "exit when loaded": beside("func init() { os.Exit(0) }"),
        "exit by the kernel when loaded": beside("func init() { syscall.Exit(0) }", '"syscall"'),
        "exit when called": when_called("os.Exit(0)"),
        "exit by the kernel when called": when_called("syscall.Exit(0)", '"syscall"'),
        "the goroutine ended": when_called("runtime.Goexit()", '"runtime"'),
        "killed": when_called("syscall.Kill(syscall.Getpid(), syscall.SIGKILL)", '"syscall"'),
        "exit by a timer": beside("func init() { go func() { time.Sleep(time.Millisecond); os.Exit(0) }(); time.Sleep(time.Second) }", '"os"\n"time"'),
        "panic": when_called('panic("later")', '_ "os"'),
        "another program in its place": beside('func init() { syscall.Exec("/bin/true", []string{"true"}, nil) }', '"syscall"'),
    },
    "trickery": {
        "tests of the same names": _main_of_tests("_ = os.Exit; testing.RunTests(match, tests)"),
        "tests of the same names, then exit": _main_of_tests("testing.RunTests(match, tests); os.Exit(0)"),
        "tests of the same names by a main": _main_of_tests("testing.Main(match, tests, nil, nil); _ = os.Exit"),
        "flags set": beside('func init() { testing.Init(); flag.Set("test.run", "^$"); flag.Set("test.list", ".*") }', '"flag"\n"testing"'),
        "arguments replaced": beside('func init() { os.Args = []string{os.Args[0], "-test.run=^$"} }'),
        "linked to package testing": lambda task: {**beside("//go:linkname runner testing.tRunner\nfunc runner(t *testing.T, fn func(t *testing.T))\nfunc init() { runner(nil, nil) }", '"testing"\n_ "unsafe"')(task), _beside(task, "empty.s"): ""},
        "the witness imported": beside("func init() { axiom.Report(\"Test1900\", false, false, true, \"\") }", 'axiom "0axiom"'),
        "unsafe over a test's state": beside("var kept []unsafe.Pointer\nfunc init() { kept = append(kept, unsafe.Pointer(&kept)) }", '"unsafe"'),
        "standard output closed": beside("func init() { os.Stdout.Close(); os.Stderr.Close() }"),
    },
    "forged results": {
        "lines on every descriptor": _lines,
        "success printed": beside('func init() { fmt.Println("=== RUN   Test1900\\n--- PASS: Test1900 (0.00s)\\nPASS\\nok  \\texample.com/leap\\t0.001s"); os.Exit(0) }', '"fmt"\n"os"'),
        "JSON printed": beside('func init() { fmt.Println(`{"Action":"pass","Package":"example.com/leap","Test":"Test1900"}`) }', '"fmt"'),
        "report files": add({"coverage.out": "mode: set\n", "report.json": '{"Action":"pass"}', "junit.xml": '<testsuites failures="0"/>'}),
        "the parent stopped": beside("func init() { syscall.Kill(syscall.Getppid(), syscall.SIGKILL) }", '"syscall"'),
    },
    "fake solutions": {
        "nothing at all": add({}),
        "right only in production": when_called('if os.Getenv("PRODUCTION") != "" { os.Exit(1) }'),
        "does not compile": beside("func broken( {", '_ "os"'),
    },
    "timing and resources": {
        "tests rewritten": lambda task: beside(f'func init() {{ os.WriteFile("/mnt/{task.tests_path}", []byte({_go(_emptied(task))}), 0o644) }}')(task),
        "other programs of tests replaced": beside('func init() { found, _ := filepath.Glob("/tmp/*/*.test"); for _, f := range found { os.Remove(f); os.WriteFile(f, []byte("#!/bin/sh\\nexit 0\\n"), 0o755) } }', '"os"\n"path/filepath"'),
        "a daemon left behind": beside('func init() { c := exec.Command("sleep", "30"); c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}; c.Start() }', '"os/exec"\n"syscall"'),
    },
}  # fmt: skip


def _go(text: str) -> str:
    return (
        '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
    )


def _split(task: OtherTask) -> Files:
    lines = task.right.split("\n")
    return {task.module: f"package {_package(task)}\n", _beside(task, "moved.go"): "\n".join(lines)}


FORMS: dict[str, Cheat] = {
    "plain": lambda task: {task.module: task.right},
    "in another file": _split,
    "with an init and a log": lambda task: {task.module: task.right, **beside('func init() { fmt.Fprintln(os.Stderr, "ready") }', '"fmt"\n"os"', "log.go")(task)},
    "with tests added": lambda task: {task.module: task.right, _beside(task, "more_test.go"): f'package {_package(task)}\n\nimport "testing"\n\nfunc TestMore(t *testing.T) {{}}\n'},
    "with another package": lambda task: {task.module: task.right, "extra/extra.go": "package extra\n\n// One is one.\nconst One = 1\n"},
    "with a goroutine": lambda task: {task.module: task.right, **beside("func init() { go func() { time.Sleep(time.Hour) }() }", '"time"', "wait.go")(task)},
    "line ends of Windows": lambda task: {task.module: task.right.replace("\n", "\r\n")},
}  # fmt: skip
