internal import Evaluation
internal import Models
internal import TensorCore

/// Text that a model writes itself, for those who have none of their own.
///
/// Every text begins with BOS (or, where the model has none, after its end-of-text token, which is not kept); its first tokens
/// are drawn from the model's whole distribution, so that texts differ, the others from the fewest tokens with 95 % of the
/// probability. Temperature 1: the activations should be those of text as the model believes it to be.
///
/// Texts are written side by side, so that weights are read once for all of them. Each has a seed of its own and a number, and
/// which are begun when hangs on what is written alone: the same bytes on any number of threads.
struct SelfCalibration {
  /// The most texts that are written at once, and the memory that their keys and values may take.
  private static let (mostTexts, cacheBytes) = (32, 256 << 20)
  /// The tokens of each text that are drawn from the whole distribution.
  private static let freeTokens = 4
  /// The share of the probability that the other tokens are drawn from.
  private static let topP: Float = 0.95
  /// The fewest tokens that a text is worth keeping for.
  private static let shortest = 8

  private let model: any LanguageModel
  private let start: Int
  private let bos: Int?
  private let ends: Set<Int>
  private let tokens, context: Int
  /// The texts that are written at once.
  private let side: Int
  private let precision: KVPrecision
  private let seed: UInt64

  /// Texts that are being written, those that are done, and caches that nobody uses.
  private var open: [Text] = []
  private var done: [(number: Int, tokens: [Int])] = []
  private var free: [KVCache] = []
  private var attempts = 0

  /// A text that is being written.
  private struct Text {
    let number: Int
    /// The most tokens that it may have.
    let count: Int
    let cache: KVCache
    var free, usual: Sampler
    var tokens: [Int]
    var drawn = 0
    var next: Int
  }

  /// Texts of at most `context` tokens, `tokens` in all unless the model keeps ending its texts at once.
  ///
  /// - Parameter progress: told the fraction that is written.
  /// - Throws: ``EvaluationError`` when the model has written next to nothing.
  static func sequences(
    model: any LanguageModel, tokenizer: any Tokenizer, tokens: Int, context: Int, seed: UInt64, name: String,
    progress: (Double) -> Void
  ) throws -> [[Int]] {
    var writing = SelfCalibration(model, tokenizer, tokens: tokens, context: context, seed: seed)
    let sequences = writing.write(progress: progress)
    if let failure = model.failure { throw failure }
    guard sequences.reduce(0, { $0 + $1.count }) > 1 else {
      throw EvaluationError(
        .tooShort, name, "the model ends every text at once; give a calibration text with --calibration FILE")
    }
    return sequences
  }

  private init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, tokens: Int, context: Int, seed: UInt64
  ) {
    (self.model, self.tokens, self.context, self.seed) = (model, tokens, context, seed)
    bos = tokenizer.addsBeginningOfText ? tokenizer.beginningOfText : nil
    start =
      bos ?? tokenizer.endOfText ?? tokenizer.beginningOfText
      ?? Int(seed % UInt64(max(1, model.vocabularySize)))
    ends = Set(tokenizer.stopIDs).union(bos.map { [$0] } ?? [])
    let bytes = model.makeCache(capacity: context + 1).byteCountWhenFull
    // Half precision where room is short: what is read has to be decoded.
    precision = bytes * Self.mostTexts <= Self.cacheBytes ? .f32 : .f16
    let cache = model.makeCache(capacity: context + 1, precision: precision)
    side = min(max(1, Self.cacheBytes / max(1, cache.byteCountWhenFull)), Self.mostTexts)
    free = [cache]
  }

  private mutating func write(progress: (Double) -> Void) -> [[Int]] {
    let logits = FloatBuffer(count: side * model.vocabularySize)
    var steps = 0
    begin()
    while !open.isEmpty {
      model.next(open.map(\.next), caches: open.map(\.cache), into: logits.base)
      draw(logits)
      for text in open where isOver(text) {
        free.append(text.cache)
        if text.tokens.count >= min(tokens, Self.shortest) { done.append((text.number, text.tokens)) }
      }
      open.removeAll(where: isOver)
      begin()
      steps += 1
      if steps % 4 == 0 { progress(Double(written { $0.tokens.count }) / Double(tokens)) }
    }
    return done.sorted { $0.number < $1.number }.map(\.tokens)
  }

  /// Draws each open text's next token from its row of logits; one that ends it is not kept.
  private mutating func draw(_ logits: FloatBuffer) {
    let (size, ends) = (model.vocabularySize, ends)
    open.withUnsafeMutableBufferPointer { open in
      nonisolated(unsafe) let open = open
      Parallel.forEach(open.count, work: 16 * open.count * size) { place in
        let row = UnsafeBufferPointer(start: logits.base + place * size, count: size)
        let isFree = open[place].drawn < Self.freeTokens
        let next = isFree ? open[place].free.pick(row) : open[place].usual.pick(row)
        open[place].next = next
        open[place].drawn += 1
        if !ends.contains(next) { open[place].tokens.append(next) }
      }
    }
  }

  private func isOver(_ text: Text) -> Bool {
    text.tokens.count >= text.count || text.drawn > 0 && ends.contains(text.next)
  }

  /// The tokens of what is done and of what is being written, as `length` counts the latter.
  private func written(_ length: (Text) -> Int) -> Int {
    done.reduce(0) { $0 + $1.tokens.count } + open.reduce(0) { $0 + length($1) }
  }

  /// Begins texts as long as there is room beside the others and tokens are wanted that no open text may still write.
  private mutating func begin() {
    // A model that ends most of its texts at once would keep us here forever.
    let limit = 64 + tokens / 16
    while open.count < side, attempts < limit {
      let left = tokens - written(\.count)
      guard left >= min(tokens, Self.shortest) else { return }
      let cache = free.popLast() ?? model.makeCache(capacity: context + 1, precision: precision)
      cache.truncate(to: 0)
      let seed = seed ^ (UInt64(attempts) &* 0x9E37_79B9_7F4A_7C15)
      let text = Text(
        number: attempts, count: min(context, left), cache: cache, free: Sampler(temperature: 1, seed: seed),
        usual: Sampler(temperature: 1, topP: Self.topP, seed: ~seed), tokens: bos.map { [$0] } ?? [],
        next: start)
      attempts += 1
      if text.tokens.count < text.count { open.append(text) } else { free.append(cache) }
    }
  }
}
