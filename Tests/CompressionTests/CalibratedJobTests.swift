import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing

/// Whole jobs with calibration, on the reference model.
@Suite("Calibrated jobs", .serialized)
struct CalibratedJobTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let model = root + "/Calibration/reference/model.bin"

  private func run(
    _ pass: QuantizePass, tokens: Int = 2048, budget: QualityBudget = QualityBudget(),
    container: OutputContainer = .gguf
  ) throws -> (report: StageReport, artifact: Data) {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-calibrated-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: [pass])
    recipe.container = container
    recipe.evaluation.tokens = 2048
    recipe.evaluation.latency = false
    recipe.calibration.tokens = tokens
    recipe.budget = budget
    let outcome = try Job(model: CalibratedJobTests.model, recipe: recipe, output: folder).run()
    let report = try #require(outcome.report.stages.last)
    let path = "\(folder)/1-\(report.name)/\(report.artifact.file)"
    return (report, try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  @Test("each method ends nearer to the baseline than plain rounding, at the same size")
  func methods() throws {
    let plain = try run(QuantizePass(.int4, method: .rtn)).report
    // Of 2048 tokens a handful makes up most of the mean, whose standard error is a third of it.
    let reference = try #require(plain.divergence?.median)
    for (method, most) in [(QuantizePass.Method.gptq, 0.5), (.imatrix, 1), (.awq, 1)] {
      let report = try run(QuantizePass(.int4, method: method)).report
      let divergence = try #require(report.divergence?.median)
      #expect(divergence < most * reference, "\(method): \(divergence) against \(reference)")
      #expect(report.size.tensorBytes == plain.size.tensorBytes)
      let outcomes = report.tensors.compactMap(\.outcome)
      #expect(!outcomes.isEmpty)
      // What was kept is never worse than plain rounding on held-out tokens.
      for outcome in outcomes {
        if let kept = outcome.heldOutError, let plain = outcome.plainError { #expect(kept <= plain) }
      }
    }
  }

  @Test("the same bytes on one, two and four threads")
  func threads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try run(QuantizePass(.int4), tokens: 512).artifact
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test("rounding that is learned ends no worse on held-out text, in the same bytes on one and three threads")
  func effort() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    var pass = QuantizePass(.format(.q4_0), embeddings: .q6_k)
    let usual = try run(pass, tokens: 1024)
    pass.effort = .max
    let all = try [1, 3].map { count in
      Parallel.threadCount = count
      return try run(pass, tokens: 1024)
    }
    #expect(all[0].artifact == all[1].artifact)
    let report = all[0].report
    #expect(
      report.notes.contains {
        $0.contains("rounding learned in ") || $0.contains("learned rounding was undone")
      }, "\(report.notes)")
    #expect(report.size.tensorBytes == usual.report.size.tensorBytes)
    #expect(try #require(report.divergence?.median) < 1.2 * #require(usual.report.divergence?.median))
  }

  @Test("calibrated on two tokens it still gives a model")
  func fewTokens() throws {
    let report = try run(QuantizePass(.int4), tokens: 2).report
    #expect(try #require(report.divergence?.mean.value) < 0.1)
  }

  @Test("a target size is kept, and used")
  func targetSize() throws {
    for bits in [4.6, 6.0] {
      let report = try run(QuantizePass(.mixed(.bitsPerWeight(bits)))).report
      let used = Double(report.size.packedBytes * 8) / Double(report.size.parameters)
      #expect(used <= bits && used > 0.95 * bits, "\(used) for \(bits)")
    }
  }

  @Test("a budget is kept by the smallest model that does")
  func budget() throws {
    let report = try run(QuantizePass(.mixed(.budget)), budget: QualityBudget(maxKLD: 0.003)).report
    let verdict = try #require(report.budget)
    #expect(verdict.holds)
    let bound = try #require(verdict.checks.first?.bound)
    #expect(bound > 0.0003, "a model with a tenth of the harm is not the smallest: \(bound)")
  }
}
