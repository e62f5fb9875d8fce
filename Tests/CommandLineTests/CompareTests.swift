import Foundation
import Testing

/// `compress compare` as a user and a build server meet it.
@Suite("compare", .serialized)
struct CompareTests {
  private static func run(
    _ name: String, _ arguments: [String], tokens: String = "1024", in scratch: Scratch
  ) throws {
    let outcome = try Program.run(
      arguments + [
        Reference.model, "-o", name, "--eval-tokens", tokens, "--level", "1", "--no-latency",
      ], in: scratch.path)
    try #require(outcome.status == 0, "\(outcome.errors)")
  }

  @Test("two runs in a table, a page, and the forms of build servers; gates end with 2")
  func compare() throws {
    let scratch = try Scratch()
    try Self.run("eight", ["--int8", "--method", "rtn"], tokens: "8192", in: scratch)
    try Self.run("four", ["--int4", "--method", "rtn"], tokens: "8192", in: scratch)
    let table = try Program.run(["compare", "eight", "four", "--html", "c.html"], in: scratch.path)
    #expect(table.status == 0, "\(table.errors)")
    #expect(table.output.contains("eight/1 int8") && table.output.contains("four/1 int4"))
    // The baselines are one, and four bits are told from eight on the same tokens.
    #expect(!table.output.contains("four/0 baseline"))
    #expect(table.output.contains("four/1 int4 against eight/1 int8: KLD +"))
    #expect(table.output.contains(": farther"))
    let page = String(decoding: try scratch.read("c.html"), as: UTF8.self)
    #expect(page.hasPrefix("<!doctype html>") && page.contains("four/1 int4"))
    // The page is not replaced unasked.
    #expect(try Program.run(["compare", "eight", "--html", "c.html"], in: scratch.path).status == 64)
    #expect(
      try Program.run(["compare", "eight", "--html", "c.html", "--force"], in: scratch.path).status == 0)

    let gates = ["--gate", "max-kld=1e-9", "--gate", "max-size=100MB"]
    let broken = try Program.run(["compare", "eight", "four"] + gates, in: scratch.path)
    #expect(broken.status == 2)
    #expect(broken.errors.hasPrefix("compress: a gate does not hold: eight/1 int8: max-kld=1e-9: "))
    #expect(broken.errors.contains("above the limit by"))
    #expect(try Program.run(["compare", "eight", "--gate", "max-size=100MB"], in: scratch.path).status == 0)
    let junit = try Program.run(["compare", "eight", "--format", "junit"] + gates, in: scratch.path)
    #expect(
      junit.status == 2
        && junit.output.contains("<testsuite name=\"compress compare\" tests=\"2\" failures=\"1\""))
    let github = try Program.run(["compare", "eight", "--format", "github"] + gates, in: scratch.path)
    #expect(github.output.hasPrefix("::error title=eight/1 int8 max-kld=1e-9::"))
    let json = try Program.run(["compare", "eight", "four", "--format", "json"], in: scratch.path)
    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
    #expect(object?["schema"] as? String == "compress.comparison")
    #expect((object?["comparisons"] as? [Any])?.count == 3)
    let inspected = try Program.run(["inspect", "four/1-int4/reference.gguf.zst"], in: scratch.path)
    #expect(inspected.output.contains("error"), "the report beside the artifact has errors")
  }

  @Test("runs that do not compare, and what is no run, are refused in one line")
  func refusals() throws {
    let scratch = try Scratch()
    try Self.run("a", ["--int8", "--method", "rtn"], in: scratch)
    try Self.run("b", ["--int8", "--method", "rtn", "--context", "64"], in: scratch)
    try Refusal.check(
      ["compare", "a", "b"], in: scratch, ["b: the context is 64, but 256 in a", "evaluate both alike"])
    try Refusal.check(["compare", "a", "nothing"], in: scratch, status: 74, ["nothing/report.json"])
    try scratch.write(Array("{}".utf8), to: "report.json")
    try Refusal.check(["compare", "report.json"], in: scratch, ["report.json: schema: missing"])
    try scratch.write(Array("{".utf8), to: "report.json")
    try Refusal.check(["compare", "report.json"], in: scratch, ["report.json: "])
    // Predictions that are damaged, or another run's.
    let own = try scratch.read("a/1-int8/tokens.bin")
    var damaged = own
    damaged[own.count - 9] ^= 1
    try scratch.write(damaged, to: "a/1-int8/tokens.bin")
    try Refusal.check(["compare", "a"], in: scratch, ["a/1-int8/tokens.bin", "do not have the checksum"])
    try scratch.write(try scratch.read("b/1-int8/tokens.bin"), to: "a/1-int8/tokens.bin")
    try Refusal.check(["compare", "a"], in: scratch, ["a/1-int8/tokens.bin"])
    // A report that names files elsewhere.
    let text = String(decoding: try scratch.read("a/report.json"), as: UTF8.self)
    try scratch.write(
      Array(text.replacingOccurrences(of: "\"tokens.bin\"", with: "\"../../secret\"").utf8),
      to: "a/report.json")
    try Refusal.check(["compare", "a"], in: scratch, ["names a file outside the run"])
    for (arguments, words) in [
      (["compare", "a", "--gate", "speed=2"], "--gate 'speed=2' must be one of max-kld"),
      (["compare", "a", "--format", "junit"], "--format junit shows gates"),
      (["compare"], "Missing expected argument"),
    ] {
      let outcome = try Program.run(arguments, in: scratch.path)
      #expect(outcome.status == 64 && outcome.errors.contains(words), "\(outcome.errors)")
    }
  }

  @Test("two models are timed in turns")
  func bench() throws {
    let options = ["--runs", "3", "--tokens", "4", "--prompt", "8"]
    let text = try Program.run(
      ["bench", try Samples.gguf, try Samples.int8Artifact] + options, in: "/")
    #expect(text.status == 0, "\(text.errors)")
    #expect(text.output.contains("3 rounds in turns") && text.output.contains("× ["))
    let json = try Program.run(
      ["bench", try Samples.gguf, try Samples.int8Artifact, "--json"] + options, in: "/")
    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
    #expect(object?["schema"] as? String == "compress.bench-comparison")
    let decode = object?["decode"] as? [String: Any]
    #expect((decode?["ratio"] as? Double ?? 0) > 0 && decode?["rounds"] as? Int == 3)
  }

  @Test("questions are answered, and a run can be followed line by line")
  func questionsAndEvents() throws {
    let scratch = try Scratch()
    let tasks = Reference.folder + "/../tasks/"
    let text = try Program.run(
      [
        "eval", try Samples.int8Artifact, "--baseline", Reference.folder, "--task", tasks + "choice.jsonl",
        "--task", tasks + "words.jsonl",
      ], in: scratch.path)
    #expect(text.status == 0, "\(text.errors)")
    #expect(text.output.contains("choice.jsonl: 400 questions") && text.output.contains("McNemar p = "))
    let outcome = try Program.run(
      ["--int8", "--method", "rtn", Reference.model, "-o", "out", "--no-latency", "--json", "--level", "1"],
      in: scratch.path)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    let events = try outcome.output.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    let names = events.compactMap { $0["event"] as? String }
    #expect(names.count == events.count && names.count { $0 == "stage" } == 2)
    let last = try #require(events.last)
    #expect(last["event"] as? String == "finished" && last["folder"] as? String == "out")
    #expect((last["stages"] as? [Any])?.count == 2)
  }
}
