import Compression
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// What a pruned model takes, what it can be unpacked to, and whether it was worth it.
@Suite("Sparse artifacts", .serialized)
struct SparseJobTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let model = root + "/Calibration/reference/model.bin"

  /// Runs `body` on the folder of a run and its reports.
  private func run(
    _ stages: [any Pass], frontier: Bool = false, container: OutputContainer = .safetensors,
    _ body: (String, [StageReport], JobOutcome) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-sparse-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: stages)
    recipe.container = container
    recipe.evaluation.tokens = 2048
    recipe.evaluation.latency = false
    recipe.evaluation.frontier = frontier
    recipe.calibration.tokens = 1024
    let outcome = try Job(model: Self.model, recipe: recipe, output: folder).run()
    try body(folder, outcome.report.stages, outcome)
  }

  @Test("masks and values take hardly more than their entropy, and unpack to the same numbers")
  func storage() throws {
    let passes: [any Pass] = [
      PrunePass(.groups(kept: 2, of: 4), method: .magnitude),
      QuantizePass(.format(.int8_channel), method: .rtn),
    ]
    try run(passes) { folder, reports, _ in
      #expect(reports[0].sparsity == nil)
      for report in reports[1...] {
        let sparsity = try #require(report.sparsity)
        // Small matrices: tables and heads of frames weigh more than in a large model.
        #expect(sparsity.excess < 0.05 && sparsity.excess > -0.01, "\(report.name): \(sparsity.text)")
        #expect(sparsity.sparsity >= 0.5)
        let path = "\(folder)/\(report.index)-\(report.name)/\(report.artifact.file)"
        let stored = try Checkpoint.load(try ModelFiles.open(path))
        for keeps in [false, true] {
          var conversion = Conversion(container: .safetensors)
          conversion.keepsSparse = keeps
          let target = "\(folder)/unpacked-\(report.index)-\(keeps)"
          _ = try conversion.run(stored, to: target)
          let back = try Checkpoint.load(try ModelFiles.open(target))
          for tensor in back.tensors {
            let own = try #require(stored.tensor(tensor.name))
            #expect(try tensor.hasSameContents(as: own), "\(tensor.name), \(keeps)")
          }
          #expect(Checkpoint.holdsSparseMatrices(back.source) == false)
        }
      }
    }
  }

  @Test(
    "a model that is only quantized, of the same bytes, is nearer to the original",
    arguments: OutputContainer.allCases)
  func frontier(_ container: OutputContainer) throws {
    let passes: [any Pass] = [
      PrunePass(.share(0.4), method: .magnitude),
      QuantizePass(container == .gguf ? .int8 : .format(.int8_channel), method: .rtn),
    ]
    try run(passes, frontier: true, container: container) { folder, reports, outcome in
      #expect(reports[1].frontier == nil)
      let last = try #require(reports.last)
      let verdict = try #require(last.frontier)
      let comparison = try #require(verdict.comparisons.first)
      #expect(comparison.basis == .bytes && comparison.packedBytes <= last.size.packedBytes)
      #expect(comparison.outcome == .loses && verdict.loses)
      #expect(throws: JobError.self) { try outcome.checkFrontier() }
      let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(!files.contains { $0.hasPrefix(".") }, "\(files)")
    }
  }

  @Test("a run that prunes nothing is compared with nothing")
  func nothingPruned() throws {
    try run([QuantizePass(.int8, method: .rtn)], frontier: true, container: .gguf) { _, reports, outcome in
      #expect(reports.last?.frontier == nil)
      try outcome.checkFrontier()
    }
  }
}
