internal import TensorCore

/// The baseline's logits on one text, so that it runs once, however many models are compared with it.
///
/// Whole rows where all of them fit ``memoryLimit``, so that figures are those of running both models side by side, to the bit;
/// else the likeliest tokens of each row and some of the others, from which KL divergence is estimated without bias.
public final class ReferenceCache: Sendable {
  /// The most bytes that rows may take in memory: 256 MB.
  public static let memoryLimit = 256 << 20

  /// How rows are kept.
  enum Storage: Sendable {
    /// Every logit, row by row, with the true token of each row.
    case whole([Float], truth: [Int])
    /// The likeliest tokens of each row.
    case likeliest([ReferenceRow])
  }

  /// What the rows belong to.
  public let key: ReferenceKey
  let storage: Storage

  init(key: ReferenceKey, storage: Storage) {
    self.key = key
    self.storage = storage
  }

  /// How many tokens of each row are kept; nil for all.
  public var shape: ReferenceShape? {
    switch storage {
    case .whole: nil
    case .likeliest(let rows):
      rows.first.map { ReferenceShape(likeliest: $0.tokens.count, drawn: $0.drawn.count) }
    }
  }

  /// The mean probability of the tokens that are not kept; nil when all are.
  public var tailMass: Double? {
    switch storage {
    case .whole: nil
    case .likeliest(let rows): Statistics.mean(rows.map { Double($0.tail) })
    }
  }
}

/// Gathers the rows of a ``ReferenceCache`` while a model is evaluated.
final class ReferenceRecorder {
  private let key: ReferenceKey
  /// The tokens to keep of each row; nil for all.
  private let kept: ReferenceShape?
  private var whole: [Float] = []
  private var truth: [Int] = []
  private var likeliest: [ReferenceRow] = []

  /// A recorder for `key`.
  ///
  /// - Parameters:
  ///   - limit: the most bytes that rows may take.
  ///   - shape: the tokens to keep of each row; nil for all, or as many as fit.
  init(key: ReferenceKey, limit: Int, shape: ReferenceShape? = nil) {
    self.key = key
    let size = MemoryLayout<Float>.stride
    if let shape {
      kept = shape
    } else if key.rows.multipliedReportingOverflow(by: key.vocabulary * size).overflow
      || key.rows * key.vocabulary * size > limit
    {
      kept = ReferenceShape(total: limit / key.rows / (2 * size), vocabulary: key.vocabulary)
    } else {
      kept = nil
      whole.reserveCapacity(key.rows * key.vocabulary)
    }
  }

  /// Takes the next rows. Rows that are not finite are an error of the evaluation, which is found there.
  func add(_ logits: Matrix, truth: [Int]) {
    guard let kept else {
      whole += logits.elements
      self.truth += truth
      return
    }
    let first = likeliest.count
    let rows = Locked([ReferenceRow?](repeating: nil, count: truth.count))
    Parallel.forEach(truth.count) { index in
      let row = logits.withRow(index) {
        ReferenceRow($0, shape: kept, truth: truth[index], number: first + index)
      }
      rows.withLock { $0[index] = row }
    }
    likeliest += rows.withLock { $0 }.compactMap { $0 }
  }

  /// The rows.
  var cache: ReferenceCache {
    ReferenceCache(key: key, storage: kept == nil ? .whole(whole, truth: truth) : .likeliest(likeliest))
  }
}
