import Compression
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import Testing

/// A stage that cannot be finished: what was made before it stands, and the report says so.
@Suite("Failed stages")
struct FailedStageTests {
  /// A pass that gives up when it is applied.
  private struct Failing: Pass {
    static let name = "failing"
    init() {}
    init(options: inout RecipeMapping) throws(RecipeError) {}
    var options: JSONValue { .object(JSONObject()) }
    var label: String { "failing" }
    func plan(for checkpoint: Checkpoint) throws -> PassPlan {
      try QuantizePass(.int4, allowRequantize: true).plan(for: checkpoint)
    }
    func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult {
      throw PassError("nothing works <today>")
    }
  }

  @Test(
    "reports and artifacts of the stages before are there; the run ends with an error that names the stage")
  func failing() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("failed-\(UUID().uuidString)")
      .path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: [QuantizePass(.int8, method: .rtn), Failing()])
    recipe.evaluation.tokens = 1024
    recipe.evaluation.latency = false
    let outcome = try Job(
      model: root + "/Calibration/reference/model.bin", recipe: recipe, output: folder
    ).run()
    #expect(outcome.report.stages.map(\.name) == ["baseline", "int8"])
    let failure = StageFailure(index: 2, name: "failing", message: "nothing works <today>")
    #expect(outcome.report.failure == failure)
    #expect(throws: JobError.self) { try outcome.checkFailure() }
    #expect(outcome.error?.kind == .badInput)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    #expect(files == ["0-baseline", "1-int8", "recipe.yaml", "report.html", "report.json", "report.md"])
    let json = try JSONValue(parsing: try String(contentsOfFile: folder + "/report.json", encoding: .utf8))
    #expect(try RunReport(json: json).failure == failure)
    for name in ["report.html", "report.md"] {
      let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
      #expect(text.contains("Stage 2, failing, failed:") && !text.contains("<today>"), "\(name)")
    }
    // What a later comparison reads.
    let run = try StoredRun.read(folder)
    #expect(run.records.count == 2 && run.records.allSatisfy { $0 != nil })
    var comparison = try RunComparison([run])
    try comparison.check([try #require(Gate("max-size=1GB"))])
    #expect(comparison.failure?.contains("the stage failed") == true)
  }

  @Test("when the first stage cannot be made, nothing is")
  func first() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("failed-\(UUID().uuidString)")
      .path
    #expect(throws: (any Error).self) {
      try Job(model: "/nothing", recipe: Recipe(stages: [QuantizePass(.int8)]), output: folder).run()
    }
    #expect(!FileManager.default.fileExists(atPath: folder))
  }
}
