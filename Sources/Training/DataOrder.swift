import TensorCore

/// The order in which a text's documents are learned from: a new seeded shuffle for each time through.
package struct DataOrder: Sendable, Equatable {
  private let lengths: [Int]
  private let seed: UInt64
  /// The times that all documents were learned from.
  package private(set) var epoch: Int
  /// The documents of this time through that are done.
  package private(set) var place: Int
  private var order: [Int]

  /// The order of documents of these lengths, from a position on.
  package init(lengths: [Int], seed: UInt64, epoch: Int = 0, place: Int = 0) {
    self.lengths = lengths
    self.seed = seed
    self.epoch = max(0, epoch)
    self.place = min(max(0, place), lengths.count)
    order = Self.shuffled(lengths.count, seed, self.epoch)
  }

  /// The documents of the next batch: as many as `tokens` tokens hold, at least one.
  package mutating func next(tokens: Int) -> [Int] {
    var (batch, count) = ([Int](), 0)
    while batch.count < lengths.count {
      if place == order.count {
        // A batch never holds a document twice.
        if !batch.isEmpty { break }
        epoch += 1
        place = 0
        order = Self.shuffled(lengths.count, seed, epoch)
      }
      let document = order[place]
      if !batch.isEmpty, count + lengths[document] > tokens { break }
      batch.append(document)
      count += lengths[document]
      place += 1
    }
    return batch
  }

  private static func shuffled(_ count: Int, _ seed: UInt64, _ epoch: Int) -> [Int] {
    var generator = SeededGenerator(seed: seed ^ (UInt64(epoch) &* 0x9E37_79B9_7F4A_7C15) ^ 0x7472_6169_6E00)
    return Array(0..<count).shuffled(using: &generator)
  }
}
