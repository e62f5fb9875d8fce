import Evaluation

/// A stage on a page: its name there, and where the document that the page shows has it.
struct ShownStage {
  /// "1 int4"; with several runs, the run's name in front.
  var label: String
  /// Its figures.
  var stage: StageReport
  /// Its path in the document: "stages[1]".
  var path: String
  /// The run that it is of.
  var group: Int

  /// The label without the stage's name: "run/1".
  var short: String {
    label.split(separator: " ").first.map(String.init) ?? label
  }

  /// Whether other stages are compared with it.
  var isBaseline: Bool { stage.index == 0 }

  /// The path of its metrics.
  var metrics: String { "\(path).evaluation.metrics" }

  /// How far it is from its baseline, in words, with the interval: what plots put on their axes.
  var harm: (name: String, value: Double, range: ClosedRange<Double>?)? {
    if let divergence = stage.divergence {
      return (
        "mean KL divergence, nats", divergence.mean.value, ShownStage.range(divergence.mean)
      )
    }
    if let mean = stage.encoder?.similarity?.mean {
      return (
        "1 − cosine to the baseline", 1 - mean.value,
        ShownStage.range(Estimate(1 - mean.value, standardError: mean.standardError))
      )
    }
    return nil
  }

  /// Seconds a token, and the range from the median to its 95 % quantile.
  var cost: (value: Double, range: ClosedRange<Double>)? {
    guard let latency = stage.latency else { return nil }
    let speed = latency.decode ?? latency.prefill
    guard speed.median > 0 else { return nil }
    let low = max(speed.median - speed.deviation, speed.median / 2)
    return (speed.median, low...max(speed.median, speed.percentile95))
  }

  private static func range(_ estimate: Estimate) -> ClosedRange<Double>? {
    guard let error = estimate.standardError, error > 0, error.isFinite else { return nil }
    return max(0, estimate.value - 1.96 * error)...(estimate.value + 1.96 * error)
  }
}
