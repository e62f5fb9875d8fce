import Compression
import Foundation
import Passes
import Reporting
import TensorCore
import TestSupport
import Testing

/// Calibration and budgets of an encoder, where its files are at hand.
@Suite("Calibration: encoders", .serialized, .enabled(if: SharedData.isPresent))
struct EncoderCalibrationTests {
  private func run(
    calibration: String?, evaluation: String, budget: QualityBudget = QualityBudget()
  ) throws -> (set: CalibrationSet?, outcome: JobOutcome) {
    try CalibrationSourceTests.withScratch { folder in
      let pass = ObservingPass()
      var recipe = Recipe(stages: [pass])
      recipe.evaluation.latency = false
      recipe.evaluation.text = SharedData.path(evaluation)
      recipe.calibration.text = calibration
      recipe.calibration.tokens = 4096
      recipe.budget = budget
      let job = Job(model: SharedData.path("models/minilm-l6-v2"), recipe: recipe, output: folder + "/out")
      let outcome = try job.run()
      return (pass.seen.withLock { $0 }.last ?? nil, outcome)
    }
  }

  @Test(
    "sentence pairs: each sentence framed by [CLS] and [SEP]; common sentences are no leak, the same table is"
  )
  func pairs() throws {
    let train = SharedData.path("text/stsb-en-train.csv")
    let (found, outcome) = try run(
      calibration: train, evaluation: "text/stsb-en-dev.csv", budget: QualityBudget(minAgreement: 0.99))
    let set = try #require(found)
    let all = set.sequences + set.heldOut
    #expect(all.allSatisfy { $0.first == 101 && $0.last == 102 && $0.count > 2 && $0.count <= 256 })
    #expect(set.tokenCount + set.heldOutTokenCount <= 4096)
    #expect(set.tokenCount + set.heldOutTokenCount > 3500)
    let overlap = try #require(set.summary?.overlap)
    #expect(overlap.share > 0.01 && overlap.share < 0.1)
    // The pass changed nothing, so the model agrees with itself.
    #expect(outcome.report.stages[1].budget?.holds == true)
    let error = #expect(throws: JobError.self) {
      try run(calibration: train, evaluation: "text/stsb-en-train.csv")
    }
    #expect(error?.kind == .badInput && error?.description.contains("runs of 13 words") == true)
  }

  @Test("what only a decoder can do is refused in one line")
  func refusals() throws {
    let own = #expect(throws: JobError.self) {
      try run(calibration: "self", evaluation: "text/stsb-en-dev.csv")
    }
    #expect(own?.description.contains("an encoder writes no text") == true)
    for budget in [QualityBudget(maxKLD: 0.1), QualityBudget(maxPerplexityIncrease: 0.1)] {
      let error = #expect(throws: JobError.self) {
        try run(calibration: nil, evaluation: "text/stsb-en-dev.csv", budget: budget)
      }
      #expect(error?.description.contains("use --min-agreement") == true)
    }
  }
}
