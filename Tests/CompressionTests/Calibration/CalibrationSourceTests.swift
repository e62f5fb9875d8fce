import Compression
import Foundation
import ModelFiles
import Passes
import Reporting
import TensorCore
import TestSupport
import Testing

/// What passes are given to observe, through whole jobs on the reference model.
@Suite("Calibration: sources", .serialized)
struct CalibrationSourceTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
  static let model = root + "/Calibration/reference/model.bin"
  static let evaluation = root + "/Calibration/evaluation.txt"
  static let calibration = root + "/Calibration/calibration.txt"

  /// A folder of its own, removed afterwards.
  static func withScratch<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "compress-calibration-\(UUID().uuidString)"
    ).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
  }

  /// The set that a job's pass saw, and the job's notes.
  private func observed(
    _ change: (inout CalibrationPlan) -> Void, need: ObservationNeed = .gram
  ) throws -> (set: CalibrationSet?, notes: [String]) {
    try Self.withScratch { folder in
      let pass = ObservingPass(need: need)
      var recipe = Recipe(stages: [pass])
      recipe.evaluation.tokens = 1024
      recipe.evaluation.latency = false
      change(&recipe.calibration)
      let outcome = try Job(model: Self.model, recipe: recipe, output: folder + "/out").run()
      return (pass.seen.withLock { $0 }.last ?? nil, outcome.report.notes)
    }
  }

  private func failure(_ change: (inout CalibrationPlan) -> Void) throws -> JobError? {
    do { _ = try observed(change) } catch { return JobError(error) }
    return nil
  }

  @Test("the shipped text: spread over its length, divided, described")
  func shipped() throws {
    let (found, notes) = try observed { $0.tokens = 8192 }
    let set = try #require(found)
    #expect(set.name == "calibration.txt (shipped)")
    #expect(set.sha256 == (try FileHash.sha256(ofFile: Self.calibration)))
    #expect(set.tokenCount + set.heldOutTokenCount <= 8192)
    #expect(set.tokenCount + set.heldOutTokenCount > 7600)
    let all = set.sequences + set.heldOut
    #expect(all.allSatisfy { $0.first == 1 && $0.count <= 256 && !$0.isEmpty })
    #expect(set.heldOut.count == 4 && set.sequences.count == 28)
    let summary = try #require(set.summary)
    #expect(summary.tokens == set.tokenCount && summary.heldOutTokens == set.heldOutTokenCount)
    #expect(summary.vocabulary == 512 && summary.context == 256)
    #expect(summary.distinctTokens == Set(set.sequences.joined()).count)
    #expect((summary.evaluationCoverage ?? 0) > 0.99)
    let overlap = try #require(summary.overlap)
    #expect(overlap.share < 0.01 && overlap.runs > 0)
    #expect(notes.contains { $0.hasPrefix("calibrated on calibration.txt (shipped): ") }, "\(notes)")
  }

  @Test("a pass that observes nothing is given nothing, and no text is read")
  func unused() throws {
    let (set, notes) = try observed({ $0.text = "/nowhere/at/all.txt" }, need: .nothing)
    #expect(set == nil)
    #expect(notes.contains("the calibration text is not used: no stage observes the model at work"))
  }

  @Test("JSON lines and folders: every document begins anew, short ones are kept")
  func documents() throws {
    try Self.withScratch { folder in
      try "{\"text\": \"A bird sang.\"}\n{\"text\": \"Yes\"}\n".write(
        toFile: folder + "/b.jsonl", atomically: true, encoding: .utf8)
      try "The road was long and the night was cold.".write(
        toFile: folder + "/a.txt", atomically: true, encoding: .utf8)
      try "ignored".write(toFile: folder + "/c.md", atomically: true, encoding: .utf8)
      try Data().write(to: URL(fileURLWithPath: folder + "/d.txt"))
      let lines = try observed { $0.text = folder + "/b.jsonl" }.set
      #expect(lines?.sequences.count == 1 && lines?.heldOut.count == 1)
      let (found, notes) = try observed {
        $0.text = folder
        $0.heldOut = 0
      }
      let set = try #require(found)
      #expect(set.sequences.count == 3 && set.heldOut.isEmpty)
      #expect(set.name == (folder as NSString).lastPathComponent + "/")
      #expect(notes.contains("1 of the calibration folder's 3 files are empty"), "\(notes)")
    }
  }

  @Test("text that the model writes itself is seeded, and begins with BOS")
  func own() throws {
    func write() throws -> CalibrationSet? {
      try observed {
        $0.text = "self"
        $0.tokens = 600
      }.set
    }
    let set = try #require(try write())
    #expect(set.name == "self")
    #expect(set.tokenCount + set.heldOutTokenCount <= 600)
    #expect(set.tokenCount + set.heldOutTokenCount > 500)
    #expect((set.sequences + set.heldOut).allSatisfy { $0.first == 1 })
    // Different texts, the same each time.
    #expect(Set(set.sequences + set.heldOut).count == set.sequences.count + set.heldOut.count)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    for threads in [1, 3] {
      Parallel.threadCount = threads
      let again = try #require(try write())
      #expect(again.sequences == set.sequences && again.sha256 == set.sha256)
    }
  }

  @Test("evaluation text in the calibration text is an error, unless it is allowed")
  func leak() throws {
    let error = try failure { $0.text = Self.evaluation }
    #expect(error?.kind == .badInput)
    #expect(
      error?.description.contains("of the evaluation text's runs of 13 words are in this calibration text")
        == true)
    #expect(error?.description.contains("--allow-overlap") == true)
    let set = try observed {
      $0.text = Self.evaluation
      $0.allowOverlap = true
    }.set
    #expect((set?.summary?.overlap?.share ?? 0) > 0.9)
  }

  @Test("what cannot be used is refused before anything is written, in one line each")
  func refusals() throws {
    try Self.withScratch { folder in
      func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name))
        return folder + "/" + name
      }
      let empty = folder + "/empty"
      try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
      let cases: [(String, JobError.Kind, String)] = [
        (try file("none.txt", []), .badInput, "the text is empty"),
        (try file("binary.txt", [0x41, 0, 0x42]), .badInput, "not a text: byte 1 is zero"),
        (
          try file("broken.jsonl", Array("{\"text\": \"a b c\"}\n{\"text\": 1}\n".utf8)), .badInput,
          "line 2 is no JSON object with a string \"text\""
        ),
        (try file("blank.jsonl", Array("{\"text\": \"\"}\n".utf8)), .badInput, "there is no text in it"),
        (empty, .badInput, "the folder has no text: .txt, .jsonl are read"),
        (folder + "/missing.txt", .inputOutput, "cannot open: No such file or directory"),
      ]
      for (path, kind, message) in cases {
        let error = try #require(try failure { $0.text = path }, "\(path)")
        #expect(error.kind == kind)
        #expect(error.description.hasPrefix(path + ": "), "\(error.description)")
        #expect(error.description.contains(message), "\(error.description)")
        #expect(!error.description.contains("\n"))
      }
    }
  }
}
