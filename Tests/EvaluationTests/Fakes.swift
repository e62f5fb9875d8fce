import Models
import ModelFiles
import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A language model whose logits are a formula of position and token, so that tests can compute everything anew.
struct FakeLanguageModel: LanguageModel {
  var vocabularySize = 11
  var contextLength = 64
  var bytesPerToken = 1234
  /// How far the logits are from those of noise 0.
  var noise = 0.0
  /// A position whose row has a NaN in its last place.
  var nanAt: Int?
  /// What happens in each call, for latency tests.
  var onForward: @Sendable (Int) -> Void = { _ in }
  /// What it is with whole rows.
  var whole: (any LanguageModel)?

  func withWholeRows() -> (any LanguageModel)? { whole }

  func makeCache(capacity: Int) -> KVCache { KVCache(capacity: capacity, blocks: 0, heads: 0, headLength: 0) }

  /// The logits behind `token` at `position`.
  func row(position: Int, token: Int) -> [Float] {
    (0..<vocabularySize).map { index in
      if position == nanAt, index == vocabularySize - 1 { return .nan }
      let x = Double(index * 7 + token * 3 + position)
      return Float(3 * sin(x) + noise * cos(x * 1.7))
    }
  }

  func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix {
    precondition(cache.count + tokens.count <= cache.capacity, "the cache is full")
    onForward(tokens.count)
    let start = cache.count
    cache.count += tokens.count
    let range: Range<Int> =
      switch logits {
      case .none: tokens.count..<tokens.count
      case .last: tokens.count - 1..<tokens.count
      case .from(let first): first..<tokens.count
      }
    let rows = range.flatMap { row(position: start + $0, token: tokens[$0]) }
    return Matrix(rows: range.count, columns: vocabularySize, elements: rows)
  }
}

/// An encoder that adds up one hand-written vector for each token.
struct FakeEncoder: EncoderModel {
  var embeddingLength = 3
  var contextLength = 8
  var noise: Float = 0

  func embed(_ sequences: [[Int]]) -> Matrix {
    var rows: [Float] = []
    for sequence in sequences {
      for column in 0..<embeddingLength {
        var sum: Float = 0
        for token in sequence {
          sum += Float((token * (column + 2)) % 7) - 2 + noise * Float(token % (column + 2))
        }
        rows.append(sum)
      }
    }
    return Matrix(rows: sequences.count, columns: embeddingLength, elements: rows)
  }
}

/// Bytes as tokens: each byte is its own id; 256 begins a text (or is [CLS]), 257 ends it.
struct ByteTokenizer: Tokenizer {
  var addsBeginningOfText = true
  var addsEnd = false
  var vocabularySize: Int { 258 }
  var beginningOfText: Int? { 256 }
  var endOfText: Int? { 257 }
  var stopIDs: Set<Int> { [257] }
  var ggufEntries: [GGUFEntry] { [] }

  func encode(_ text: [UInt8], addSpecial: Bool) -> [Int] {
    let ids = text.map(Int.init)
    guard addSpecial else { return ids }
    return (addsBeginningOfText ? [256] : []) + ids + (addsEnd ? [257] : [])
  }

  func decode(_ ids: [Int]) -> [UInt8] { ids.flatMap(piece) }
  func piece(_ id: Int) -> [UInt8] { id < 256 ? [UInt8(id)] : [] }
}
