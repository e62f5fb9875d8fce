import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import TestSupport
import Testing

/// Budgets in whole jobs, and the judge of a search's candidates.
@Suite("Budgets", .serialized)
struct BudgetTests {
  private func outcome(_ budget: QualityBudget, tokens: Int = 4096) throws -> (JobOutcome, report: String) {
    try CalibrationSourceTests.withScratch { folder in
      var recipe = Recipe(stages: [QuantizePass(.int4)])
      recipe.evaluation.tokens = tokens
      recipe.evaluation.latency = false
      recipe.calibration.tokens = 2048
      recipe.budget = budget
      let outcome = try Job(
        model: CalibrationSourceTests.model, recipe: recipe, output: folder + "/out"
      ).run()
      let page = try String(contentsOfFile: folder + "/out/1-int4/report.md", encoding: .utf8)
      let resolved = try String(contentsOfFile: folder + "/out/recipe.yaml", encoding: .utf8)
      #expect(try Recipe(yaml: resolved, path: "recipe.yaml").budget == budget)
      return (outcome, page)
    }
  }

  @Test("a budget that holds passes; one that does not is exit code 2, with the reports written")
  func gate() throws {
    let (good, page) = try outcome(QualityBudget(maxKLD: 0.5, minAgreement: 0.5, maxPerplexityIncrease: 0.5))
    #expect(good.report.stages[0].budget == nil)
    #expect(good.report.stages[1].budget?.holds == true)
    try good.checkBudget()
    #expect(page.contains("## Budget") && page.contains("| `max-kld` | ≤ 0.5 |"))
    let (bad, other) = try outcome(QualityBudget(maxKLD: 1e-7))
    let error = #expect(throws: JobError.self) { try bad.checkBudget() }
    #expect(error?.kind == .gate && error?.kind.rawValue == 2)
    #expect(
      error?.description.contains("stage 1, int4, breaks the budget: max-kld 1e-07: up to 0.00") == true)
    #expect(other.contains("**no**"))
    // The bound is above the mean, and not by much.
    let check = try #require(bad.report.stages[1].budget?.checks.first)
    let bound = try #require(check.bound)
    #expect(bound > check.measured && bound < 3 * check.measured)
  }

  @Test("one chunk is too few for a budget")
  func single() throws {
    let error = #expect(throws: JobError.self) { try outcome(QualityBudget(maxKLD: 1), tokens: 16) }
    #expect(error?.kind == .badInput)
    #expect(error?.description.contains("a budget needs two chunks of evaluation text or more") == true)
  }

  @Test("candidates are judged on what calibration held out, and not on the evaluation text")
  func evaluator() throws {
    let pass = ObservingPass()
    try CalibrationSourceTests.withScratch { folder in
      var recipe = Recipe(stages: [pass])
      recipe.evaluation.tokens = 1024
      recipe.evaluation.latency = false
      recipe.calibration.tokens = 8192
      _ = try Job(model: CalibrationSourceTests.model, recipe: recipe, output: folder + "/out").run()
    }
    let calibration = try #require(pass.seen.withLock { $0 }.last ?? nil)
    let baseline = try Checkpoint.load(try ModelFiles.open(CalibrationSourceTests.model))
    let evaluator = try #require(try BudgetEvaluator(baseline: baseline, calibration: calibration))
    #expect(evaluator.chunks.chunks.map(\.tokens) == calibration.heldOut)
    let same = try evaluator.metrics(of: baseline)
    #expect(same.divergence?.maximum == 0 && same.divergence?.sameTop.value == 1)
    // More bits, less harm: candidates of a search, in memory and never packed.
    let divergences = try [QuantizePass.Target.int8, .format(.q6_k), .format(.q5_k), .int4].map { target in
      let pass = QuantizePass(target)
      let candidate = try pass.plan(for: baseline).reencode(baseline)
      return try #require(try evaluator.metrics(of: candidate).divergence).mean.value
    }
    #expect(divergences == divergences.sorted() && divergences[0] > 0)
    let small = try #require(try BudgetEvaluator(baseline: baseline, calibration: calibration, limit: 512))
    #expect(small.chunks.tokenCount <= 512 && small.chunks.tokenCount > 0)
    // Nothing held out: nothing to choose on.
    #expect(try BudgetEvaluator(baseline: baseline, calibration: CalibrationSet(sequences: [[1, 2]])) == nil)
  }
}
