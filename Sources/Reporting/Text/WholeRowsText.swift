import Evaluation

/// What leaving the zeros of pruned matrices out of their rows gains, in words.
enum WholeRowsText {
  /// A line for each kind of work: its name, speed with zeros left out, speed with whole rows, the ratio, and a word for it.
  struct Line {
    var name: String
    var without, whole: LatencyMetrics.Speed
    var speedup: LatencyComparison.Speedup
  }

  /// The lines of `latency`; none where no zeros are left out.
  static func lines(_ latency: LatencyMetrics) -> [Line] {
    guard let rows = latency.wholeRows else { return [] }
    var lines = [
      Line(name: "prefill", without: latency.prefill, whole: rows.prefill, speedup: rows.prefillSpeedup)
    ]
    if let own = latency.decode, let whole = rows.decode, let speedup = rows.decodeSpeedup {
      lines.append(Line(name: "decode", without: own, whole: whole, speedup: speedup))
    }
    return lines
  }

  /// "1.40× [1.38, 1.42], faster".
  static func ratio(_ speedup: LatencyComparison.Speedup) -> String {
    let interval = speedup.interval.map {
      " [\(NumberFormat.significant($0.low, 3)), \(NumberFormat.significant($0.high, 3))]"
    }
    return "\(NumberFormat.significant(speedup.ratio, 3))×\(interval ?? ""), \(word(speedup))"
  }

  /// The verdict as a word.
  static func word(_ speedup: LatencyComparison.Speedup) -> String {
    switch speedup.verdict {
    case .better: "faster"
    case .worse: "slower"
    case .tie: "tie"
    case .unknown: "unknown"
    }
  }

  /// A sentence; nil where no zeros are left out.
  static func sentence(_ latency: LatencyMetrics) -> String? {
    let lines = lines(latency)
    guard let first = lines.first else { return nil }
    let parts = lines.map { line in
      "\(line.name) \(ratio(line.speedup)) (whole rows: \(NumberFormat.rate(line.whole.rate)) tok/s)"
    }
    return "Zeros left out of the rows of pruned matrices, against the same rows whole, in turns "
      + "(\(first.speedup.rounds) rounds): " + parts.joined(separator: "; ") + "."
  }
}
