public import Evaluation
public import ModelFiles

/// What a model reached on texts with labels, for people and for scripts.
public struct ClassificationReport: Sendable, Equatable {
  /// The file's name and its SHA-256.
  public var name: String
  public var sha256: String
  /// The labels; of two, the second is the positive one.
  public var classes: [String]
  /// The true label of each row.
  public var truth: [Int]
  /// What the model found, by each way of asking it.
  public var found: [FoundLabels]
  /// The same of the baseline, in the same order; nil without one.
  public var baseline: [FoundLabels]?

  /// A report on `text`.
  public init(_ text: LabelledText, found: [FoundLabels], baseline: [FoundLabels]?) {
    name = text.name
    sha256 = text.sha256
    classes = text.classes
    truth = text.rows.map(\.label)
    self.found = found
    self.baseline = baseline
  }

  private var f1Name: String {
    classes.count == 2 ? "F1 of '\(classes[1])'" : "F1, mean of \(classes.count) classes"
  }

  /// The share of the most frequent label: what knowing nothing reaches.
  private var chance: Double {
    Double(classes.indices.map { label in truth.count { $0 == label } }.max() ?? 0)
      / Double(max(1, truth.count))
  }

  private func right(_ labels: [Int]) -> [Bool] { zip(truth, labels).map { $0 == $1 } }

  private func before(_ place: Int) -> [Int]? {
    baseline.flatMap { $0.indices.contains(place) ? $0[place].labels : nil }
  }

  private func f1(_ labels: [Int]) -> Estimate {
    ClassificationScores.f1(truth: truth, predicted: labels, classes: classes.count)
  }

  private func change(_ before: [Int], _ after: [Int]) -> Estimate {
    ClassificationScores.f1Change(
      truth: truth, baseline: before, predicted: after, classes: classes.count)
  }

  /// The report as text.
  public var text: String {
    func percent(_ estimate: Estimate) -> String { NumberFormat.estimate(estimate, scale: 100) + " %" }
    var lines = [
      "\(name): \(truth.count) texts with \(classes.count) labels; the most frequent one is right for "
        + "\(NumberFormat.fixed(chance * 100, 1)) %"
    ]
    for (place, way) in found.enumerated() {
      let answers = right(way.labels)
      lines.append(
        "  \(way.name): accuracy \(percent(TaskAnswers.accuracy(answers))), \(f1Name) \(percent(f1(way.labels)))"
      )
      guard let before = before(place) else { continue }
      let comparison = TaskComparison(baseline: right(before), model: answers)
      lines.append(
        "    baseline accuracy \(percent(TaskAnswers.accuracy(right(before)))), change "
          + "\(NumberFormat.signedEstimate(comparison.difference.estimate, scale: 100)) %; right → wrong "
          + "\(comparison.flips.lost), wrong → right \(comparison.flips.gained); McNemar p = "
          + "\(NumberFormat.significant(comparison.flips.probability, 2)): \(comparison.verdict.rawValue)")
      lines.append(
        "    baseline F1 \(percent(f1(before))), change "
          + "\(NumberFormat.signedEstimate(change(before, way.labels), scale: 100)) %")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The report as JSON.
  public var json: JSONValue {
    .fields([
      ("task", .string(name)), ("sha256", .string(sha256)), ("questions", .integer(truth.count)),
      ("classes", .strings(classes)), ("majority", .rounded(chance)),
      ("scores", .array(found.enumerated().map { score($1, before: before($0)) })),
    ])
  }

  private func score(_ way: FoundLabels, before: [Int]?) -> JSONValue {
    let scores = ClassificationScores(truth: truth, predicted: way.labels, classes: classes.count)
    var members: [(String, JSONValue)] = [
      ("name", .string(way.name)), ("accuracy", TaskAnswers.accuracy(right(way.labels)).json),
      ("f1", f1(way.labels).json), ("macroF1", .rounded(scores.macroF1)),
      (
        "classes",
        .array(
          classes.indices.map { place in
            .fields([
              ("label", .string(classes[place])), ("precision", .rounded(scores.precision(place))),
              ("recall", .rounded(scores.recall(place))), ("f1", .rounded(scores.f1(place))),
            ])
          })
      ), ("confusion", .array(scores.confusion.map { .array($0.map { .integer($0) }) })),
    ]
    if let before {
      let comparison = TaskComparison(baseline: right(before), model: right(way.labels))
      members += [
        ("baseline", TaskAnswers.accuracy(right(before)).json), ("baselineF1", f1(before).json),
        ("difference", comparison.difference.json(lessIsBetter: false)),
        ("f1Change", change(before, way.labels).json), ("flips", comparison.flips.json),
        ("mcnemar", .rounded(comparison.flips.probability)),
        ("verdict", .string(comparison.verdict.rawValue)),
      ]
    }
    return .fields(members)
  }
}

/// What a model reached on a task of either kind.
public enum TaskOutcome: Sendable, Equatable {
  /// Questions with answers.
  case questions(TaskReport)
  /// Texts with labels.
  case labels(ClassificationReport)

  /// The outcome as text.
  public var text: String {
    switch self {
    case .questions(let report): report.text
    case .labels(let report): report.text
    }
  }

  /// The outcome as JSON.
  public var json: JSONValue {
    switch self {
    case .questions(let report): report.json
    case .labels(let report): report.json
    }
  }
}
