import Models
import TensorCore

extension EncoderEvaluation {
  /// The embeddings of sentences, scaled to length one; a sentence that comes twice is embedded once.
  ///
  /// - Throws: ``EvaluationError`` when a sentence gives no tokens, or an embedding is not finite.
  static func unitVectors(
    _ model: any EncoderModel, tokenizer: any Tokenizer, sentences: [[UInt8]], name: String,
    progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> [[Double]] {
    let batch = 32
    var places: [[UInt8]: Int] = [:]
    var different: [[Int]] = []
    for (number, sentence) in sentences.enumerated() where places[sentence] == nil {
      let tokens = truncate(tokenizer.encode(sentence, addSpecial: true), to: model.contextLength)
      guard !tokens.isEmpty else {
        throw EvaluationError(.badText, name, "text \(number + 1) gives no tokens: it cannot be embedded")
      }
      places[sentence] = different.count
      different.append(tokens)
    }
    var vectors: [[Double]] = []
    for start in stride(from: 0, to: different.count, by: batch) {
      let part = Array(different[start..<min(start + batch, different.count)])
      let matrix = model.embed(part)
      for row in 0..<matrix.rows {
        let values = matrix.row(row).map(Double.init)
        guard values.allSatisfy(\.isFinite) else {
          throw EvaluationError(.nonFinite, name, "the model's embeddings are not finite")
        }
        vectors.append(normalized(values))
      }
      try progress(EvaluationProgress(done: start + part.count, total: different.count, loss: nil))
    }
    return sentences.map { places[$0].map { vectors[$0] } ?? [] }
  }

  /// `values` scaled to length one; zeros stay.
  static func normalized(_ values: [Double]) -> [Double] {
    let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return length > 0 ? values.map { $0 / length } : values
  }
}
