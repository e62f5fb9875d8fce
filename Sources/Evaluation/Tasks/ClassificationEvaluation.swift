public import Models
import TensorCore

/// Finds the labels of texts: a language model by likelihood, an encoder by where embeddings lie.
public enum ClassificationEvaluation {
  /// The labels that `model` finds likeliest, plainly and with the label's likelihood behind no text taken off, which is what words
  /// have in common with any text.
  ///
  /// - Throws: ``EvaluationError`` when the template does not fit the table, a label does not fit the context, or a logit is not
  ///   finite.
  public static func run(
    _ model: any LanguageModel, tokenizer: any Tokenizer, text: LabelledText, template: LabelTemplate,
    progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> [FoundLabels] {
    var questions = TaskText(name: text.name, sha256: text.sha256, items: try template.questions(text))
    let prior = questions.items.removeLast()
    let likelihoods = try TaskEvaluation.likelihoods(
      model, tokenizer: tokenizer, task: questions, progress: progress)
    let alone = try TaskEvaluation.likelihoods(
      model, tokenizer: tokenizer,
      task: TaskText(name: "\(text.name) without texts", sha256: text.sha256, items: [prior]))
    func best(_ values: [Double]) -> Int { TaskEvaluation.best(values) }
    return [
      FoundLabels(name: "likeliest label", labels: likelihoods.map(best)),
      FoundLabels(
        name: "label that the text makes likelier",
        labels: likelihoods.map { row in best(zip(row, alone[0]).map { $0 - $1 }) }),
    ]
  }

  /// The labels that embeddings tell. Whatever is fitted is fitted on the other half of the rows (every second one of each class):
  /// for single texts, the class whose mean direction is nearest; for pairs of two classes, which side of a cosine they are on.
  ///
  /// - Throws: ``EvaluationError`` for pairs of more than two classes, and when an embedding is not finite.
  public static func run(
    _ model: any EncoderModel, tokenizer: any Tokenizer, text: LabelledText,
    progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> [FoundLabels] {
    guard !text.isPairs || text.classes.count == 2 else {
      throw EvaluationError(
        .badText, text.name, "an encoder tells pairs of two classes apart, not of \(text.classes.count)")
    }
    let sentences = text.rows.map(\.first) + text.rows.compactMap(\.second)
    let vectors = try EncoderEvaluation.unitVectors(
      model, tokenizer: tokenizer, sentences: sentences, name: text.name, progress: progress)
    let truth = text.rows.map(\.label)
    guard text.isPairs else {
      return [
        FoundLabels(name: "nearest class", labels: nearestClasses(vectors, truth, text.classes.count))
      ]
    }
    let cosines = text.rows.indices.map { row in
      zip(vectors[row], vectors[text.rows.count + row]).reduce(0) { $0 + $1.0 * $1.1 }
    }
    return [FoundLabels(name: "side of a cosine", labels: sides(cosines, truth))]
  }

  /// The half that each row is in: rows of a class in turns.
  package static func halves(_ truth: [Int], classes: Int) -> [Int] {
    var seen = [Int](repeating: 0, count: classes)
    return truth.map { label in
      seen[label] += 1
      return seen[label] % 2
    }
  }

  package static func nearestClasses(_ vectors: [[Double]], _ truth: [Int], _ classes: Int) -> [Int] {
    let half = halves(truth, classes: classes)
    let length = vectors.first?.count ?? 0
    // The mean directions of each half.
    var means = [[[Double]]](
      repeating: [[Double]](repeating: [Double](repeating: 0, count: length), count: classes), count: 2)
    for row in truth.indices {
      for place in 0..<length { means[half[row]][truth[row]][place] += vectors[row][place] }
    }
    means = means.map { $0.map(EncoderEvaluation.normalized) }
    return truth.indices.map { row in
      let others = means[1 - half[row]]
      return TaskEvaluation.best(
        others.map { mean in
          mean.contains { $0 != 0 } ? zip(vectors[row], mean).reduce(0) { $0 + $1.0 * $1.1 } : -.infinity
        })
    }
  }

  package static func sides(_ cosines: [Double], _ truth: [Int]) -> [Int] {
    let half = halves(truth, classes: 2)
    let cuts = (0..<2).map { wanted in
      cut(cosines.indices.filter { half[$0] == wanted }.map { (cosines[$0], truth[$0]) })
    }
    return cosines.indices.map { row in
      let cut = cuts[1 - half[row]]
      return (cosines[row] >= cut.cosine) == cut.isPositiveAbove ? 1 : 0
    }
  }

  /// The cosine that tells most of `rows` apart, half way between two neighbours, and the side that the positive class is on. Of
  /// equally good ones the lowest.
  private static func cut(_ rows: [(cosine: Double, label: Int)]) -> (cosine: Double, isPositiveAbove: Bool) {
    let sorted = rows.sorted { $0.cosine < $1.cosine }
    let positives = sorted.count { $0.label == 1 }
    // All above; each step moves one row below.
    var right = positives
    var best = (cosine: -Double.infinity, isPositiveAbove: true, right: right)
    if sorted.count - right > best.right { best = (-.infinity, false, sorted.count - right) }
    for (place, row) in sorted.enumerated() {
      right += row.label == 1 ? -1 : 1
      let isLast = place + 1 == sorted.count
      if !isLast, sorted[place + 1].cosine == row.cosine { continue }
      let cosine = isLast ? Double.infinity : (row.cosine + sorted[place + 1].cosine) / 2
      if right > best.right { best = (cosine, true, right) }
      if sorted.count - right > best.right { best = (cosine, false, sorted.count - right) }
    }
    return (best.cosine, best.isPositiveAbove)
  }
}
