import TensorCore

/// Memory for activations and gradients. Loops over threads write to different parts of it; nobody checks that they do.
package final class NumberBuffer<Number: TrainingNumber>: @unchecked Sendable {
  /// The first element, aligned to 64 bytes.
  package let base: UnsafeMutablePointer<Number>
  /// The number of elements.
  package let count: Int

  /// Zeros, or anything.
  package init(_ count: Int, isZeroed: Bool = true) {
    let room = max(count, 1)
    base = ReusedMemory.take(room * MemoryLayout<Number>.stride).bindMemory(to: Number.self, capacity: room)
    self.count = count
    if isZeroed { clear() }
  }

  /// A copy of `values`.
  package convenience init(_ values: [Number]) {
    self.init(values.count, isZeroed: false)
    values.withUnsafeBufferPointer { if let from = $0.baseAddress { base.update(from: from, count: count) } }
  }

  /// The elements.
  package var array: [Number] { Array(UnsafeBufferPointer(start: base, count: count)) }

  /// A buffer with the same contents.
  package func copy() -> NumberBuffer {
    let result = NumberBuffer(count, isZeroed: false)
    result.take(self)
    return result
  }

  /// Takes the contents of a buffer of the same size.
  package func take(_ other: NumberBuffer) {
    let piece = 1 << 15
    nonisolated(unsafe) let (target, source) = (base, other.base)
    Parallel.forEach((count + piece - 1) / piece) { index in
      (target + index * piece).update(
        from: source + index * piece, count: min(piece, count - index * piece))
    }
  }

  /// All zeros again.
  package func clear() {
    let piece = 1 << 15
    nonisolated(unsafe) let base = base
    Parallel.forEach((count + piece - 1) / piece) { index in
      (base + index * piece).update(repeating: 0, count: min(piece, count - index * piece))
    }
  }

  deinit { ReusedMemory.give(back: base, max(count, 1) * MemoryLayout<Number>.stride) }
}

/// Tokens of documents that lie one behind the other; attention and positions keep the documents apart.
package struct PackedTokens: Sendable {
  /// The tokens of all documents.
  package var tokens: [Int] = []
  /// Where each document lies.
  package var documents: [Range<Int>] = []

  /// No tokens yet.
  package init() {}

  /// These documents, in this order; empty ones are left out.
  package init(_ sequences: [[Int]]) {
    for sequence in sequences where !sequence.isEmpty {
      documents.append(tokens.count..<tokens.count + sequence.count)
      tokens += sequence
    }
  }

  /// The number of tokens.
  package var count: Int { tokens.count }

  /// The token that follows each one in its document; −1 behind the last.
  package var targets: [Int] {
    var result = [Int](repeating: -1, count: tokens.count)
    for document in documents {
      for place in document.lowerBound..<max(document.lowerBound, document.upperBound - 1) {
        result[place] = tokens[place + 1]
      }
    }
    return result
  }
}
