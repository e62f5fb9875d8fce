public import Evaluation

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What the single predictions of a stage look like: where they are far from the baseline's, and how far.
public struct TokenReport: Sendable, Equatable {
  /// The file of all predictions, beside the report (``TokenFile``).
  public var file: String
  /// The share of true tokens that were found most likely.
  public var accuracy: Estimate
  /// How KL divergences are distributed; nil without a baseline.
  public var histogram: Histogram?
  /// The passages with the largest mean divergence, the worst first.
  public var passages: [Passage]

  /// Counts of divergences in classes of equal ratio.
  public struct Histogram: Sendable, Equatable {
    /// The decimal logarithm of the first class's lower bound.
    public var low: Int
    /// The classes for each power of ten.
    public var perDecade: Int
    /// Predictions below the first class: none to speak of.
    public var below: Int
    /// Predictions in each class; those beyond the last one are in the last one.
    public var counts: [Int]

    /// A histogram of these parts.
    public init(low: Int, perDecade: Int, below: Int, counts: [Int]) {
      self.low = low
      self.perDecade = perDecade
      self.below = below
      self.counts = counts
    }

    /// The lower bound of a class.
    public func bound(_ place: Int) -> Double { pow(10, Double(low) + Double(place) / Double(perDecade)) }
  }

  /// Neighbouring predictions.
  public struct Passage: Sendable, Equatable {
    /// The chunk that it is in, counted from 0.
    public var chunk: Int
    /// The place of its first prediction among those of the chunk that are scored.
    public var position: Int
    /// The mean divergence of its predictions.
    public var mean: Double
    /// Its tokens.
    public var tokens: [Token]

    /// A passage of these parts.
    public init(chunk: Int, position: Int, mean: Double, tokens: [Token]) {
      self.chunk = chunk
      self.position = position
      self.mean = mean
      self.tokens = tokens
    }
  }

  /// A token of a passage.
  public struct Token: Sendable, Equatable {
    /// Its text; empty where a character is made of several tokens and goes on in the next.
    public var text: String
    /// KL(baseline ‖ model) where it was predicted.
    public var divergence: Double
    /// −ln p of it.
    public var loss: Double

    /// A token of these parts.
    public init(text: String, divergence: Double, loss: Double) {
      self.text = text
      self.divergence = divergence
      self.loss = loss
    }
  }

  /// A report of these parts.
  public init(file: String, accuracy: Estimate, histogram: Histogram?, passages: [Passage]) {
    self.file = file
    self.accuracy = accuracy
    self.histogram = histogram
    self.passages = passages
  }
}

extension TokenReport {
  /// The tokens of a passage.
  static let passageLength = 24
  /// The passages that are shown at most.
  static let passageCount = 10

  /// The report of `records`.
  ///
  /// - Parameter piece: the bytes that a token adds to a text; nil where no tokenizer is known.
  public init(_ records: TokenRecords, file: String = TokenFile.name, piece: ((Int) -> [UInt8])?) {
    self.init(
      file: file, accuracy: records.accuracy,
      histogram: records.hasBaseline ? Histogram(records.tokens.map { Double($0.divergence) }) : nil,
      passages: records.hasBaseline ? TokenReport.worst(records, piece) : [])
  }

  /// The passages of largest mean divergence that do not overlap, none longer than a chunk.
  private static func worst(_ records: TokenRecords, _ piece: ((Int) -> [UInt8])?) -> [Passage] {
    var found: [(mean: Double, chunk: Int, start: Int, first: Int, length: Int)] = []
    var first = 0
    for (chunk, block) in records.blocks.enumerated() {
      let length = min(passageLength, block.count)
      defer { first += block.count }
      guard length > 0 else { continue }
      let values = records.tokens[first..<first + block.count].map { Double($0.divergence) }
      var sum = values[..<length].reduce(0, +)
      for start in 0...(block.count - length) {
        if start > 0 { sum += values[start + length - 1] - values[start - 1] }
        found.append((sum / Double(length), chunk, start, first + start, length))
      }
    }
    found.sort { ($0.mean, $1.first) > ($1.mean, $0.first) }
    var taken: [Range<Int>] = []
    var passages: [Passage] = []
    for place in found {
      let range = place.first..<place.first + place.length
      guard passages.count < passageCount else { break }
      guard !taken.contains(where: { $0.overlaps(range) }) else { continue }
      taken.append(range)
      let tokens = records.tokens[range]
      let texts = TokenReport.texts(tokens.map { Int($0.truth) }, piece)
      passages.append(
        Passage(
          chunk: place.chunk, position: place.start,
          mean: tokens.reduce(0) { $0 + Double($1.divergence) } / Double(place.length),
          tokens: zip(texts, tokens).map {
            Token(text: $0, divergence: Double($1.divergence), loss: Double($1.loss))
          }))
    }
    return passages
  }

  /// The text of each token. Characters of several tokens are those of the last one; what is no UTF-8 is replaced.
  private static func texts(_ ids: [Int], _ piece: ((Int) -> [UInt8])?) -> [String] {
    guard let piece else { return ids.map { "⟨\($0)⟩" } }
    var pending: [UInt8] = []
    var texts: [String] = []
    for (place, id) in ids.enumerated() {
      pending += piece(id)
      let isLast = place == ids.count - 1
      if let text = String(validating: pending, as: UTF8.self) {
        texts.append(text)
        pending = []
      } else if pending.count > 3 || isLast {
        texts.append(String(decoding: pending, as: UTF8.self))
        pending = []
      } else {
        texts.append("")
      }
    }
    return texts
  }
}

extension TokenReport.Histogram {
  /// The histogram of `values` from 1e-8 to 1e2, four classes for each power of ten.
  init(_ values: [Double]) {
    self.init(low: -8, perDecade: 4, below: 0, counts: [Int](repeating: 0, count: 40))
    for value in values {
      guard value >= bound(0) else {
        below += 1
        continue
      }
      let place = Int((log10(value) - Double(low)) * Double(perDecade))
      counts[min(counts.count - 1, max(0, place))] += 1
    }
  }
}
