import Evaluation
public import Passes

/// A limit that a stage has to keep: "max-kld=0.02".
public struct Gate: Sendable, Equatable {
  /// What is limited.
  public enum Subject: String, Sendable, CaseIterable {
    case maxKLD = "max-kld"
    case minAgreement = "min-agreement"
    case maxPerplexityIncrease = "max-ppl-increase"
    case maxPerplexity = "max-ppl"
    case maxSize = "max-size"
    case maxBitsPerWeight = "max-bpw"
    case minRatio = "min-ratio"
    case minSpeedup = "min-speedup"
    case minDecodeRate = "min-decode"
    case maxMemory = "max-memory"
  }

  /// What is limited.
  public var subject: Subject
  /// The limit as it was written.
  public var text: String
  /// Its value: bytes, nats, shares, factors, tokens a second.
  public var limit: Double

  /// Reads "max-kld=0.02", "min-agreement=95%", "max-size=40MB", "min-speedup=1.5"; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "=", maxSplits: 1)
    guard parts.count == 2, let subject = Subject(rawValue: String(parts[0])) else { return nil }
    let word = String(parts[1])
    guard let limit = Gate.limit(subject, word), limit.isFinite, limit >= 0 else { return nil }
    self.subject = subject
    self.text = text
    self.limit = limit
  }

  private static func limit(_ subject: Subject, _ word: String) -> Double? {
    switch subject {
    case .maxKLD, .minAgreement, .maxPerplexityIncrease:
      var budget = QualityBudget()
      guard budget.set(subject.rawValue, to: word) else { return nil }
      return budget.maxKLD ?? budget.minAgreement ?? budget.maxPerplexityIncrease
    case .maxSize, .maxMemory:
      return SizeGoal(size: word).flatMap { $0.bytes(parameters: 0) }.map(Double.init)
    case .minSpeedup, .minRatio: return Double(word.hasSuffix("x") ? String(word.dropLast()) : word)
    case .maxPerplexity, .maxBitsPerWeight, .minDecodeRate: return Double(word)
    }
  }

  /// Whether less than the limit breaks it.
  public var isLeast: Bool { subject.rawValue.hasPrefix("min") }
}

/// A gate, and what a stage makes of it.
public struct GateResult: Sendable, Equatable {
  /// The gate as it was written: "max-kld=0.02".
  public var gate: String
  /// The limit.
  public var limit: Double
  /// The stage: "run/1 int4".
  public var stage: String
  /// What was measured; nil where it was not.
  public var measured: Double?
  /// The 95 % confidence bound that is held against the limit; nil where the measured value is.
  public var bound: Double?
  /// Whether it holds.
  public var holds: Bool
  /// One line: what was measured, and by how much it fails.
  public var message: String

  /// A result of these parts.
  public init(
    gate: String, limit: Double, stage: String, measured: Double?, bound: Double?, holds: Bool,
    message: String
  ) {
    self.gate = gate
    self.limit = limit
    self.stage = stage
    self.measured = measured
    self.bound = bound
    self.holds = holds
    self.message = message
  }
}

extension Gate {
  /// Whether `stage` keeps the limit. Quality is held by its confidence bound, as budgets are; speed by medians.
  ///
  /// - Parameter baseline: stage 0 of the same run.
  public func result(of stage: StageReport, label: String, baseline: StageReport?) -> GateResult {
    let (measured, bound) = values(stage, baseline)
    func result(_ holds: Bool, _ message: String) -> GateResult {
      GateResult(
        gate: text, limit: limit, stage: label, measured: measured, bound: bound, holds: holds,
        message: message)
    }
    guard let measured else { return result(false, "not measured") }
    guard !isQuality || bound != nil else {
      return result(false, "measured \(show(measured)), but one block of text gives no confidence bound")
    }
    let value = bound ?? measured
    let holds = isLeast ? value >= limit : value <= limit
    var message = show(measured)
    if let bound { message += ", \(isLeast ? "at least" : "at most") \(show(bound)) with 95 % confidence" }
    if !holds {
      message += "; \(isLeast ? "below" : "above") the limit by \(show(abs(value - limit)))"
      if limit > 0 { message += " (\(NumberFormat.significant(abs(value - limit) / limit * 100, 3)) %)" }
    }
    return result(holds, message)
  }

  /// The result for a run that did not get to the stage.
  public func failed(_ label: String, _ message: String) -> GateResult {
    GateResult(
      gate: text, limit: limit, stage: label, measured: nil, bound: nil, holds: false, message: message)
  }

  private var isQuality: Bool {
    switch subject {
    case .maxKLD, .minAgreement, .maxPerplexityIncrease: true
    default: false
    }
  }

  private func values(_ stage: StageReport, _ baseline: StageReport?) -> (Double?, Double?) {
    func speed(_ stage: StageReport?) -> Double? {
      stage?.latency.map { ($0.decode ?? $0.prefill).rate }
    }
    switch subject {
    case .maxKLD, .minAgreement, .maxPerplexityIncrease:
      var budget = QualityBudget()
      budget.maxKLD = subject == .maxKLD ? limit : nil
      budget.minAgreement = subject == .minAgreement ? limit : nil
      budget.maxPerplexityIncrease = subject == .maxPerplexityIncrease ? limit : nil
      let check = budget.verdict(for: stage.evaluation)?.checks.first
      return (check?.measured, check?.bound)
    case .maxPerplexity: return (stage.language?.perplexity.value, nil)
    case .maxSize: return (Double(stage.size.packedBytes), nil)
    case .maxBitsPerWeight: return (stage.size.packedBitsPerWeight, nil)
    case .minRatio: return (stage.size.ratioToBaseline, nil)
    case .minSpeedup:
      guard let mine = speed(stage), let other = speed(baseline), other > 0 else { return (nil, nil) }
      return (mine / other, nil)
    case .minDecodeRate: return (stage.latency?.decode?.rate, nil)
    case .maxMemory: return (stage.latency?.peakMemory.map(Double.init), nil)
    }
  }

  private func show(_ value: Double) -> String {
    switch subject {
    case .maxSize, .maxMemory: NumberFormat.bytes(Int(min(value, 1e18)))
    case .minAgreement, .maxPerplexityIncrease: NumberFormat.significant(value * 100, 4) + " %"
    case .minSpeedup, .minRatio: NumberFormat.significant(value, 3) + "×"
    case .minDecodeRate: NumberFormat.rate(value) + " tok/s"
    case .maxKLD, .maxPerplexity, .maxBitsPerWeight: NumberFormat.significant(value, 4)
    }
  }
}

extension RunComparison {
  /// Asks `gates` of the last stage of each run, or of those called `stage` ("int4", or "1").
  ///
  /// - Throws: ``ReportError`` when no run has a stage of that name.
  public mutating func check(_ gates: [Gate], stage: String? = nil) throws {
    var results: [GateResult] = []
    for run in runs {
      let baseline = run.report.stages.first { $0.index == 0 }
      let chosen = run.report.stages.filter { candidate in
        stage.map { candidate.name == $0 || String(candidate.index) == $0 } ?? true
      }
      if let failure = run.report.failure,
        stage == nil || stage == failure.name || stage == String(failure.index)
      {
        results += gates.map {
          $0.failed("\(run.name)/\(failure.index) \(failure.name)", "the stage failed: \(failure.message)")
        }
      } else if let last = chosen.last {
        results += gates.map {
          $0.result(of: last, label: "\(run.name)/\(last.index) \(last.name)", baseline: baseline)
        }
      }
    }
    guard gates.isEmpty || !results.isEmpty else {
      throw ReportError(
        path: runs.map(\.name).joined(separator: ", "), "no stage is called '\(stage ?? "")'")
    }
    self.gates = results
  }

  /// The gates that do not hold, as one line; nil when all do.
  public var failure: String? {
    let broken = gates.filter { !$0.holds }.map { "\($0.stage): \($0.gate): \($0.message)" }
    return broken.isEmpty ? nil : broken.joined(separator: "; ")
  }
}
