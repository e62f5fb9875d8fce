import ModelFiles
import TensorCore
import TestSupport
import Testing

/// Good files, cut and flipped everywhere: each must be refused, or give a source whose tensors can all be read.
struct TorchFuzzTests {
  static let files = [
    "views.bin", "views-legacy.bin", "views-legacy-protocol4.bin", "views-protocol5.bin", "training.pt",
    "module-zip32.bin", "dtypes-big.bin", "parameters.pt",
  ]

  private func contents(_ name: String) throws -> [UInt8] { try fixtureBytes("torch/\(name)") }

  /// Reads all that can be read; returns whether it could.
  @discardableResult private func exercise(_ bytes: [UInt8]) throws -> Bool {
    _ = bytes.withUnsafeBytes { TorchFile.recognizes($0) }
    do {
      _ = try readTorch(bytes).loaded()
      return true
    } catch is ModelFileError {
      return false
    }
  }

  @Test(arguments: files) func refusesEveryTruncation(_ name: String) throws {
    let whole = try contents(name)
    for length in 0..<whole.count {
      #expect(try !exercise(Array(whole.prefix(length))), "cut to \(length) of \(whole.count) bytes")
    }
  }

  @Test(arguments: files) func survivesEveryFlippedByte(_ name: String) throws {
    var bytes = try contents(name)
    for place in bytes.indices {
      for mask in [0xFF, 0x01, 0x80] as [UInt8] {
        bytes[place] ^= mask
        try exercise(bytes)
        bytes[place] ^= mask
      }
    }
  }

  /// Pickles have a checksum in archives, so their bytes are mutated before they are packed.
  @Test func survivesEveryByteOfAPickle() throws {
    let pickle = Pickle.document([
      ("a", Pickle.tensor()), ("b", Pickle.tensor(offset: 1, shape: [2, 1], strides: [2, 1])),
    ])
    for place in pickle.indices {
      for value in 0...255 as ClosedRange<UInt8> {
        var changed = pickle
        changed[place] = value
        try exercise(Zip(changed).bytes)
      }
    }
  }

  @Test func refusesEveryTruncationOfAPickle() throws {
    let pickle = Pickle.document([("a", Pickle.tensor())])
    for length in pickle.indices {
      #expect(torchError(Zip(Array(pickle.prefix(length))).bytes)?.reason == .truncated)
    }
  }

  @Test func survivesRandomMutations() throws {
    var generator = SeededGenerator(seed: 2)
    for name in TorchFuzzTests.files {
      let whole = try contents(name)
      for _ in 0..<200 {
        try exercise(Mutation.apply(to: whole, &generator))
      }
    }
  }
}

/// Random damage.
enum Mutation {
  /// `bytes` after a few flips, copies, insertions, removals or interesting numbers.
  static func apply(to bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var result = bytes
    for _ in 0..<Int.random(in: 1...4, using: &generator) where !result.isEmpty {
      let place = Int.random(in: 0..<result.count, using: &generator)
      let length = min(Int.random(in: 1...16, using: &generator), result.count - place)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: result[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: result[place] = UInt8.random(in: 0...255, using: &generator)
      case 2: result.removeSubrange(place..<place + length)
      case 3:
        result.insert(
          contentsOf: result[place..<place + length], at: Int.random(in: 0...result.count, using: &generator))
      case 4:
        let value =
          [0, 1, -1, 0x7FFF_FFFF, .max, .min, 1 << 31, 1 << 40].randomElement(using: &generator) ?? 0
        let raw = little(Int64(value)).prefix([1, 2, 4, 8].randomElement(using: &generator) ?? 1)
        for (index, byte) in raw.enumerated() where place + index < result.count {
          result[place + index] = byte
        }
      default: result.removeSubrange(place...)
      }
    }
    return result
  }
}
