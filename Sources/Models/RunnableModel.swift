public import TensorCore

/// A model that can be run, by what it does.
public enum RunnableModel: Sendable {
  /// Predicts the next token.
  case language(any LanguageModel)
  /// Embeds texts.
  case encoder(any EncoderModel)
  /// Cannot be run, and why.
  case none(reason: String)
}

/// What activations become before they meet quantized weights.
public enum ActivationPrecision: String, Sendable, CaseIterable {
  /// 8-bit codes with a scale for each 32: how a model ships and is timed.
  case int8
  /// Floats: quantized weights are decoded, and only their rounding shows.
  case f32
}

/// Which positions of a forward pass logits are wanted for.
public enum LogitsRequest: Sendable, Equatable {
  /// None: the pass only fills the cache.
  case none
  /// The last position: one row.
  case last
  /// The positions from an index of this call's tokens on: one row each.
  case from(Int)
}

/// A decoder-only language model over weights in their stored formats. Deterministic for any number of threads.
public protocol LanguageModel: Sendable {
  /// The number of logits.
  var vocabularySize: Int { get }
  /// The longest sequence the model was made for.
  var contextLength: Int { get }
  /// The bytes of weights that one decoded token reads.
  var bytesPerToken: Int { get }
  /// Why a part that was loaded late could not be: what the model predicts then means nothing. Nil where all is there.
  var failure: (any Error)? { get }
  /// An empty cache for sequences of up to `capacity` tokens.
  func makeCache(capacity: Int) -> KVCache
  /// Runs `tokens` after those in `cache`, and adds them to it.
  ///
  /// - Returns: one row of `vocabularySize` logits for each position asked for.
  /// - Precondition: the cache has room, and every token is below `vocabularySize`.
  func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix
  /// An empty cache whose keys and values are kept in `precision`, where the model can.
  func makeCache(capacity: Int, precision: KVPrecision) -> KVCache
  /// Runs one token after those in `cache`, adds it to them, and writes its `vocabularySize` logits: what decoding repeats.
  ///
  /// - Precondition: the cache has room, and the token is below `vocabularySize`.
  func next(_ token: Int, cache: KVCache, into logits: UnsafeMutablePointer<Float>)
  /// The same for several sequences at once, which need not be of one length: weights are read once for all of them.
  ///
  /// - Parameters:
  ///   - tokens: one for each cache.
  ///   - caches: one for each sequence, each another.
  ///   - logits: `tokens.count` rows of `vocabularySize`; overwritten.
  func next(_ tokens: [Int], caches: [KVCache], into logits: UnsafeMutablePointer<Float>)
  /// The same model with the zeros of its pruned matrices stored, as those of a dense model are; nil where none are left out.
  func withWholeRows() -> (any LanguageModel)?
}

extension LanguageModel {
  /// All was loaded at once.
  public var failure: (any Error)? { nil }

  /// No zeros are left out.
  public func withWholeRows() -> (any LanguageModel)? { nil }

  /// The usual cache.
  public func makeCache(capacity: Int, precision: KVPrecision) -> KVCache { makeCache(capacity: capacity) }

  /// By ``forward(_:cache:logits:)``.
  public func next(_ token: Int, cache: KVCache, into logits: UnsafeMutablePointer<Float>) {
    forward([token], cache: cache, logits: .last).elements.withUnsafeBufferPointer {
      if let base = $0.baseAddress { logits.update(from: base, count: $0.count) }
    }
  }

  /// One after the other.
  public func next(_ tokens: [Int], caches: [KVCache], into logits: UnsafeMutablePointer<Float>) {
    for (place, (token, cache)) in zip(tokens, caches).enumerated() {
      next(token, cache: cache, into: logits + place * vocabularySize)
    }
  }
}

/// An encoder that turns a sequence of tokens into one vector.
public protocol EncoderModel: Sendable {
  /// The length of an embedding.
  var embeddingLength: Int { get }
  /// The longest sequence; longer ones are cut by the caller.
  var contextLength: Int { get }
  /// The pooled (and, where the model says so, normalised) embedding of each sequence: one row each.
  ///
  /// - Precondition: no sequence is empty or longer than `contextLength`, and every token is one of the vocabulary.
  func embed(_ sequences: [[Int]]) -> Matrix
}
