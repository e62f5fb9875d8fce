import Foundation
import Testing

/// `eval --reference` and the flags of budgets and calibration, as a user meets them.
@Suite("Reference, budget and calibration options")
struct ReferenceCommandTests {
  private func evaluate(_ arguments: [String], in scratch: Scratch) throws -> (
    kld: Double, tail: Double?, errors: String
  ) {
    let outcome = try Program.run(
      ["eval", try Samples.int8Artifact, "--eval-tokens", "1024", "--json"] + arguments, in: scratch.path)
    try #require(outcome.status == 0, "\(outcome.errors)")
    let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
    let evaluation = object?["evaluation"] as? [String: Any]
    let metrics = evaluation?["metrics"] as? [String: Any]
    let divergence = try #require(metrics?["divergence"] as? [String: Any])
    let mean = try #require(divergence["mean"] as? [String: Any])
    return (
      try #require(mean["value"] as? Double),
      (divergence["approximation"] as? [String: Any])?["tailMass"] as? Double, outcome.errors
    )
  }

  @Test(
    "a reference is made once, then stands for the baseline; one that does not fit is made again or refused")
  func reference() throws {
    let scratch = try Scratch()
    let baseline = ["--baseline", Reference.folder]
    let file = ["--reference", "ref"]
    let exact = try evaluate(baseline, in: scratch)
    #expect(exact.tail == nil)
    let made = try evaluate(baseline + file, in: scratch)
    let bytes = try scratch.read("ref")
    #expect(bytes.count < 1000 * 1024)
    #expect(abs(made.kld / exact.kld - 1) < 0.05)
    #expect(try #require(made.tail) > 0)
    // Without the baseline, and with it: the same figures, the same file.
    for arguments in [file, baseline + file] {
      let again = try evaluate(arguments, in: scratch)
      #expect(again.kld == made.kld && again.errors.isEmpty)
      #expect(try scratch.read("ref") == bytes)
    }
    // Another context: refused alone, made again with the baseline.
    let model = try Samples.int8Artifact
    let other = ["eval", model, "--eval-tokens", "1024", "--context", "64", "--reference", "ref"]
    try Refusal.check(other, in: scratch, ["ref: the reference does not fit", "a context of 256, not 64"])
    let rebuilt = try Program.run(other + baseline, in: scratch.path)
    #expect(rebuilt.status == 0)
    #expect(rebuilt.errors.contains("it is made again"))
    // Damaged: the same.
    var damaged = try scratch.read("ref")
    damaged[damaged.count - 100] ^= 1
    try scratch.write(damaged, to: "ref")
    try Refusal.check(other, in: scratch, ["ref: the rows do not have the checksum", "--baseline"])
    #expect(try Program.run(other + baseline, in: scratch.path).status == 0)
    // A file that is no reference is never replaced.
    try scratch.write(Array("my notes".utf8), to: "notes.txt")
    try Refusal.check(
      ["eval", model, "--reference", "notes.txt"] + baseline, in: scratch,
      ["notes.txt: not a file of reference logits"])
    #expect(try scratch.read("notes.txt") == Array("my notes".utf8))
    try Refusal.check(
      ["eval", model, "--reference", "none"], in: scratch, ["none: there is no such file", "--baseline"])
  }

  @Test("a broken budget is exit code 2, after the table; reports and artifacts are there")
  func budget() throws {
    let scratch = try Scratch()
    let common = [
      "--int4", Reference.model, "--eval-tokens", "1024", "--no-latency", "--calibration-tokens", "1024",
      "-q",
    ]
    let broken = try Program.run(common + ["--max-kld", "1e-7", "-o", "out"], in: scratch.path)
    #expect(broken.status == 2)
    #expect(broken.output.contains("mean KLD"))
    #expect(broken.errors.contains("breaks the budget: max-kld 1e-07: up to "), "\(broken.errors)")
    #expect(scratch.contents.contains("out/1-int4/report.json"))
    let kept = try Program.run(common + ["--max-ppl-increase", "50%", "-o", "out"], in: scratch.path)
    #expect(kept.status == 0 && kept.errors.isEmpty, "\(kept.errors)")
  }

  @Test(
    "words that mean no limit",
    arguments: [
      (["--max-kld", "0"], "--max-kld must be a number of nats above 0"),
      (["--min-agreement", "95"], "--min-agreement must be a share above 0 and up to 1"),
      (["--max-ppl-increase", "1"], "--max-ppl-increase must be a percentage such as 1%"),
      (["--calibration-tokens", "1"], "--calibration-tokens must be at least 2."),
    ])
  func nonsense(arguments: [String], message: String) throws {
    let scratch = try Scratch()
    let outcome = try Program.run(["--int4", "model.bin"] + arguments, in: scratch.path)
    #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
  }
}
