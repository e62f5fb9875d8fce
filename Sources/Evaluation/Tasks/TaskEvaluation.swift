public import Models
import TensorCore

/// Which questions a model answers right.
public struct TaskAnswers: Sendable, Equatable {
  /// By the likelihood of the whole answer; for words to find, whether all of their tokens were the likeliest.
  public var isRight: [Bool]
  /// By the likelihood for each byte of the answer, which does not favour short ones; empty for words to find.
  public var isRightByLength: [Bool]

  /// Answers of these parts.
  public init(isRight: [Bool], isRightByLength: [Bool]) {
    self.isRight = isRight
    self.isRightByLength = isRightByLength
  }

  /// The share of right answers, with its error over questions, which are taken for independent.
  public static func accuracy(_ answers: [Bool]) -> Estimate {
    Estimate(blocks: answers.map { BlockSum(sum: $0 ? 1 : 0, count: 1) })
  }
}

/// The answers of two models to the same questions.
public struct TaskComparison: Sendable, Equatable {
  /// The change of the share of right answers, paired by question.
  public var difference: PairedDifference
  /// How many answers became right, and how many wrong; with McNemar's exact test.
  public var flips: Flips

  /// The change from `baseline` to `model`.
  ///
  /// - Precondition: as many answers, and at least one.
  public init(baseline: [Bool], model: [Bool]) {
    flips = Flips(baseline, model)
    difference = PairedDifference(
      zip(baseline, model).map { BlockSum(sum: ($1 ? 1 : 0) - ($0 ? 1 : 0), count: 1) })
  }

  /// The verdict by McNemar's test.
  public var verdict: PairedDifference.Verdict {
    guard flips.probability < PairedDifference.level else { return .tie }
    return flips.gained > flips.lost ? .better : .worse
  }
}

/// Runs a language model over questions.
public enum TaskEvaluation {
  /// The answers of `model`.
  ///
  /// An answer's likelihood is that of the tokens behind those that prompt and prompt with answer have in common: where
  /// the two meet, tokens may be others. Prompts too long for the model lose their beginning.
  /// - Throws: ``EvaluationError`` when an answer is longer than the model's context, or a logit is not finite.
  public static func run(
    _ model: any LanguageModel, tokenizer: any Tokenizer, task: TaskText,
    progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> TaskAnswers {
    var answers = TaskAnswers(isRight: [], isRightByLength: [])
    let all = try scores(model, tokenizer, task, progress)
    for (item, scores) in zip(task.items, all) {
      if item.isCloze {
        answers.isRight.append(scores[0].isGreedy)
      } else {
        let lengths = item.choices.map { Double($0.count) }
        answers.isRight.append(best(scores.map(\.log)) == item.answer)
        answers.isRightByLength.append(
          best(zip(scores, lengths).map { $0.log / $1 }) == item.answer)
      }
    }
    return answers
  }

  /// ln p of each choice of each question.
  static func likelihoods(
    _ model: any LanguageModel, tokenizer: any Tokenizer, task: TaskText,
    progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> [[Double]] {
    try scores(model, tokenizer, task, progress).map { $0.map(\.log) }
  }

  private static func scores(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, _ task: TaskText,
    _ progress: (EvaluationProgress) throws -> Void
  ) throws -> [[Score]] {
    let cache = model.makeCache(capacity: model.contextLength)
    return try task.items.enumerated().map { number, item in
      let scores = try item.choices.map { choice in
        try score(
          item.prompt, choice, model, tokenizer, cache, place: "\(task.name), question \(number + 1)")
      }
      try progress(EvaluationProgress(done: number + 1, total: task.items.count, loss: nil))
      return scores
    }
  }

  private struct Score {
    var log = 0.0
    var isGreedy = true
  }

  /// The place of the largest; of equal ones the first.
  static func best(_ values: [Double]) -> Int {
    values.indices.max { values[$0] < values[$1] || (values[$0] == values[$1] && $0 > $1) } ?? 0
  }

  private static func score(
    _ prompt: [UInt8], _ choice: [UInt8], _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    _ cache: KVCache, place: String
  ) throws -> Score {
    let bos = tokenizer.addsBeginningOfText ? tokenizer.beginningOfText.map { [$0] } ?? [] : []
    let before = tokenizer.encode(prompt, addSpecial: false)
    var whole = tokenizer.encode(prompt + choice, addSpecial: false)
    let common = zip(before, whole).prefix { $0 == $1 }.count
    let answer = whole.count - common
    guard answer > 0, answer + bos.count < model.contextLength else {
      throw EvaluationError(
        .mismatch, place, "an answer of \(answer) tokens does not fit a context of \(model.contextLength)")
    }
    whole = bos + whole.suffix(model.contextLength - bos.count)
    // Without a token before it, the first of an answer is predicted by nothing.
    let first = max(1, whole.count - answer)
    if let bad = whole.first(where: { $0 < 0 || $0 >= model.vocabularySize }) {
      throw EvaluationError(.mismatch, place, "token \(bad) is none of the model's \(model.vocabularySize)")
    }
    guard first < whole.count else { return Score() }
    cache.truncate(to: 0)
    let logits = model.forward(Array(whole.dropLast()), cache: cache, logits: .from(first - 1))
    var score = Score()
    for (row, token) in whole[first...].enumerated() {
      let found = logits.withRow(row) { LogitRow($0).map { (loss: $0.loss(of: token), top: $0.top) } }
      guard let found else { throw EvaluationError(.nonFinite, place, "the logits are not finite") }
      score.log -= found.loss
      score.isGreedy = score.isGreedy && found.top == token
    }
    return score
  }
}
