public import TensorCore

/// A language model whose caches keep keys and values in a precision of their own: to measure what that costs.
public struct CachedModel: LanguageModel {
  private let model: any LanguageModel
  private let precision: KVPrecision

  /// `model` with caches in `precision`.
  public init(_ model: any LanguageModel, precision: KVPrecision) {
    self.model = model
    self.precision = precision
  }

  public var vocabularySize: Int { model.vocabularySize }
  public var contextLength: Int { model.contextLength }
  public var bytesPerToken: Int { model.bytesPerToken }
  public var failure: (any Error)? { model.failure }
  public func makeCache(capacity: Int) -> KVCache {
    model.makeCache(capacity: capacity, precision: precision)
  }
  public func makeCache(capacity: Int, precision: KVPrecision) -> KVCache {
    model.makeCache(capacity: capacity, precision: precision)
  }
  public func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix {
    model.forward(tokens, cache: cache, logits: logits)
  }
  public func next(_ token: Int, cache: KVCache, into logits: UnsafeMutablePointer<Float>) {
    model.next(token, cache: cache, into: logits)
  }
  public func next(_ tokens: [Int], caches: [KVCache], into logits: UnsafeMutablePointer<Float>) {
    model.next(tokens, caches: caches, into: logits)
  }
}
