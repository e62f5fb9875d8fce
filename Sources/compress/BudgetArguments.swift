internal import ArgumentParser
internal import Passes

/// The harm that a run may do: exit code 2 when the last stage does more.
struct BudgetArguments: ParsableArguments {
  @Option(
    help: "The most mean KL divergence from the baseline, nats a token: 0.02. Exit code 2 if it may be more.")
  var maxKld: String?

  @Option(
    help: "The least agreement with the baseline's likeliest token; for encoders, mean cosine: 0.95 or 95%.")
  var minAgreement: String?

  @Option(help: "The most growth of perplexity: 1%. Limits hold with 95 % confidence on the evaluation text.")
  var maxPplIncrease: String?

  /// Whether there is a limit.
  var isGiven: Bool { !words.isEmpty }

  private var words: [(key: String, word: String)] {
    [("max-kld", maxKld), ("min-agreement", minAgreement), ("max-ppl-increase", maxPplIncrease)].compactMap {
      key, word in word.map { (key, $0) }
    }
  }

  func validate() throws {
    var budget = QualityBudget()
    for (key, word) in words where !budget.set(key, to: word) {
      throw ValidationError("--\(key) must be \(QualityBudget.expectations[key] ?? "a number").")
    }
  }

  /// `budget` with the command line's limits on top.
  func applied(to budget: QualityBudget) -> QualityBudget {
    var budget = budget
    for (key, word) in words { _ = budget.set(key, to: word) }
    return budget
  }
}
