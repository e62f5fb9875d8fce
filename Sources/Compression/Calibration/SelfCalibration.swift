internal import Evaluation
internal import Models
internal import TensorCore

/// Calibration text that the model writes itself, for those who have none of their own.
///
/// Every text begins with BOS (or, where the model has none, after its end-of-text token, which is not kept); its first tokens
/// are drawn from the model's whole distribution, so that texts differ, the others from the fewest tokens with 95 % of the
/// probability. Temperature 1: the activations should be those of text as the model believes it to be.
enum SelfCalibration {
  /// The tokens of each text that are drawn from the whole distribution.
  private static let freeTokens = 4
  /// The share of the probability that the other tokens are drawn from.
  private static let topP: Float = 0.95
  /// The fewest tokens that a text is worth keeping for.
  private static let shortest = 8

  /// Texts of at most `context` tokens, `tokens` in all unless the model keeps ending its texts at once.
  ///
  /// - Parameter progress: told the fraction that is written.
  /// - Throws: ``EvaluationError`` when the model has written next to nothing.
  static func sequences(
    model: any LanguageModel, tokenizer: any Tokenizer, tokens: Int, context: Int, seed: UInt64, name: String,
    progress: (Double) -> Void
  ) throws -> [[Int]] {
    let cache = model.makeCache(capacity: context + 1)
    var sequences: [[Int]] = []
    var (written, attempts) = (0, 0)
    // A model that ends most of its texts at once would keep us here forever.
    let limit = 64 + tokens / 16
    while tokens - written >= min(tokens, shortest), attempts < limit {
      let text = write(
        model, tokenizer, cache, count: min(context, tokens - written),
        seed: seed ^ (UInt64(attempts) &* 0x9E37_79B9_7F4A_7C15),
        progress: { progress(Double(written + $0) / Double(tokens)) })
      attempts += 1
      guard text.count >= min(tokens, shortest) else { continue }
      sequences.append(text)
      written += text.count
    }
    guard written > 1 else {
      throw EvaluationError(
        .tooShort, name, "the model ends every text at once; give a calibration text with --calibration FILE")
    }
    return sequences
  }

  /// One text, its BOS included.
  private static func write(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, _ cache: KVCache, count: Int, seed: UInt64,
    progress: (Int) -> Void
  ) -> [Int] {
    var free = Sampler(temperature: 1, seed: seed)
    var usual = Sampler(temperature: 1, topP: topP, seed: ~seed)
    let bos = tokenizer.addsBeginningOfText ? tokenizer.beginningOfText : nil
    let start =
      bos ?? tokenizer.endOfText ?? tokenizer.beginningOfText
      ?? Int(seed % UInt64(max(1, model.vocabularySize)))
    var text = bos.map { [$0] } ?? []
    cache.truncate(to: 0)
    var next = start
    var drawn = 0
    while text.count < count {
      let logits = model.forward([next], cache: cache, logits: .last).row(0)
      next = drawn < freeTokens ? free.pick(logits) : usual.pick(logits)
      if tokenizer.stopIDs.contains(next) || next == bos { break }
      text.append(next)
      drawn += 1
      if drawn % 16 == 0 { progress(text.count) }
    }
    return text
  }
}
