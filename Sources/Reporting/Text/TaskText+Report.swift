public import Evaluation
public import ModelFiles

/// What a model reached on questions, for people and for scripts.
public struct TaskReport: Sendable, Equatable {
  /// The file's name, its SHA-256, and the number of questions.
  public var name: String
  public var sha256: String
  public var questions: Int
  /// Whether words are to be found, not chosen.
  public var isCloze: Bool
  /// The answers of the model.
  public var answers: TaskAnswers
  /// Those of the baseline; nil without one.
  public var baseline: TaskAnswers?

  /// A report on `task`.
  public init(_ task: TaskText, answers: TaskAnswers, baseline: TaskAnswers?) {
    name = task.name
    sha256 = task.sha256
    questions = task.items.count
    isCloze = task.items.first?.isCloze ?? false
    self.answers = answers
    self.baseline = baseline
  }

  /// A way to count an answer as right: its name, the answers, the baseline's.
  private var ways: [(name: String, answers: [Bool], baseline: [Bool]?)] {
    isCloze
      ? [("completions found", answers.isRight, baseline?.isRight)]
      : [
        ("accuracy", answers.isRight, baseline?.isRight),
        ("accuracy, likelihood per byte", answers.isRightByLength, baseline?.isRightByLength),
      ]
  }

  /// The report as text.
  public var text: String {
    var lines = ["\(name): \(questions) questions"]
    for way in ways {
      lines.append(
        "  \(way.name): \(NumberFormat.estimate(TaskAnswers.accuracy(way.answers), scale: 100)) %")
      guard let baseline = way.baseline else { continue }
      let comparison = TaskComparison(baseline: baseline, model: way.answers)
      lines.append(
        "    baseline \(NumberFormat.estimate(TaskAnswers.accuracy(baseline), scale: 100)) %, change "
          + "\(NumberFormat.signedEstimate(comparison.difference.estimate, scale: 100)) %; "
          + "right → wrong \(comparison.flips.lost), wrong → right \(comparison.flips.gained); "
          + "McNemar p = \(NumberFormat.significant(comparison.flips.probability, 2)): \(comparison.verdict.rawValue)"
      )
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The report as JSON.
  public var json: JSONValue {
    .fields([
      ("task", .string(name)), ("sha256", .string(sha256)), ("questions", .integer(questions)),
      (
        "scores",
        .array(
          ways.map { way in
            var members: [(String, JSONValue)] = [
              ("name", .string(way.name)), ("accuracy", TaskAnswers.accuracy(way.answers).json),
            ]
            if let baseline = way.baseline {
              let comparison = TaskComparison(baseline: baseline, model: way.answers)
              members += [
                ("baseline", TaskAnswers.accuracy(baseline).json),
                ("difference", comparison.difference.json(lessIsBetter: false)),
                ("flips", comparison.flips.json), ("mcnemar", .rounded(comparison.flips.probability)),
                ("verdict", .string(comparison.verdict.rawValue)),
              ]
            }
            return .fields(members)
          })
      ),
    ])
  }
}
