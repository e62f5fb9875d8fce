import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// Whole jobs that make the reference model smaller.
@Suite("Structured pruning jobs", .serialized)
struct StructureJobTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let model = root + "/Calibration/reference/model.bin"

  private func run(
    _ stages: [any Pass], container: OutputContainer = .gguf, tokens: Int = 4096
  ) throws -> (reports: [StageReport], configuration: JSONValue, artifact: Data) {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-cut-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: stages)
    recipe.container = container
    recipe.evaluation.tokens = 2048
    recipe.evaluation.latency = false
    recipe.evaluation.frontier = false
    recipe.calibration.tokens = tokens
    let outcome = try Job(model: Self.model, recipe: recipe, output: folder).run()
    let report = try #require(outcome.report.stages.last)
    let path = "\(folder)/\(report.index)-\(report.name)/\(report.artifact.file)"
    let shipped = try Checkpoint.load(try ModelFiles.open(path))
    return (
      outcome.report.stages, shipped.configuration, try Data(contentsOf: URL(fileURLWithPath: path))
    )
  }

  private func shares(_ text: String) throws -> StructureShares { try #require(StructureShares(text)) }

  @Test(
    "repaired, a cut does less harm than the same cut left alone",
    arguments: ["ffn=0.25", "heads=0.25", "layers=1", "width=0.125"])
  func repair(_ text: String) throws {
    var plain = StructurePass(try shares(text))
    plain.repairs = false
    let with = try run([StructurePass(try shares(text))], tokens: 16384)
    let without = try run([plain], tokens: 16384)
    let (a, b) = (
      try #require(with.reports[1].divergence?.mean.value),
      try #require(without.reports[1].divergence?.mean.value)
    )
    #expect(a < 0.9 * b, "\(text): \(a) against \(b)")
    #expect(with.reports[1].size.parameters == without.reports[1].size.parameters)
    #expect(with.reports[1].size.parameters < with.reports[0].size.parameters)
  }

  @Test("the configuration is true, and later stages work on what is left")
  func configuration() throws {
    let outcome = try run(
      [StructurePass(try shares("heads=0.5,ffn=0.5,layers=1,width=0.25")), QuantizePass(.int4)],
      container: .gguf)
    let before = try Checkpoint.load(try ModelFiles.open(Self.model)).configuration
    func size(_ key: String, _ configuration: JSONValue) throws -> Int {
      try #require(configuration[key]?.intValue)
    }
    #expect(try size("num_hidden_layers", outcome.configuration) == size("num_hidden_layers", before) - 1)
    #expect(try 2 * size("num_key_value_heads", outcome.configuration) == size("num_key_value_heads", before))
    #expect(try size("hidden_size", outcome.configuration) < size("hidden_size", before))
    #expect(try size("intermediate_size", outcome.configuration) < size("intermediate_size", before))
    #expect(outcome.reports.count == 3)
    #expect(outcome.reports[1].notes.contains { $0.hasPrefix("layers cut: ") })
  }

  @Test("a share of the weights is met from below")
  func target() throws {
    let reports = try run([StructurePass(targetParameters: 0.8)]).reports
    let left = Double(reports[1].size.parameters) / Double(reports[0].size.parameters)
    #expect(left <= 0.8 && left > 0.7)
  }

  @Test("the same bytes on one, two and four threads")
  func threads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try run([StructurePass(try shares("heads=0.25,ffn=0.25,width=0.125"))], tokens: 512).artifact
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test("what cannot be cut is refused before anything is written")
  func refusals() throws {
    var model = try Checkpoint.load(try ModelFiles.open(Self.model))
    for (text, message) in [
      ("layers=500", "500 layers cannot be cut of"), ("heads=0.9", "leaves none; cut less"),
      ("heads=0.01", "nothing to cut: what was asked for is less than one unit"),
    ] {
      let error = #expect(throws: PassError.self) { try StructurePass(try shares(text)).plan(for: model) }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }
    let error = #expect(throws: PassError.self) { try StructurePass(targetParameters: 0.01).plan(for: model) }
    #expect(error?.description.contains("add layers or width with --prune-structure") == true)
    model.architecture = nil
    #expect(throws: PassError.self) { try StructurePass(try shares("ffn=0.5")).plan(for: model) }
  }
}
