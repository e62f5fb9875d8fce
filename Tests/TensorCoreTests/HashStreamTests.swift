import CKernels
import Crypto
import Testing
import TensorCore

/// ``HashStream`` against another implementation, and the published values of FIPS 180-4.
@Suite struct HashStreamTests {
  private static let lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 191, 1000, 4096, 100_001]

  private static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
  }

  private static func digest(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

  /// Runs `body` on the processor's own instructions, and on the scalar twin.
  private static func onBoth(_ body: () throws -> Void) rethrows {
    try body()
    #expect(ck_select_instruction_set("scalar") == 1)
    defer { ck_select_instruction_set(nil) }
    #expect(HashStream.instructions == "scalar")
    try body()
  }

  @Test func publishedValues() {
    Self.onBoth {
      let stream = HashStream()
      let empty = stream.finish()
      #expect(empty.prefix(4) == [0xE3, 0xB0, 0xC4, 0x42])
      Array("abc".utf8).withUnsafeBytes { stream.add($0) }
      #expect(stream.finish().prefix(4) == [0xBA, 0x78, 0x16, 0xBF])
      #expect(stream.finish() == empty, "it begins anew")
    }
  }

  @Test func anyLengthInAnyPieces() {
    Self.onBoth {
      for (place, length) in Self.lengths.enumerated() {
        let bytes = Self.bytes(length, seed: UInt64(place))
        let stream = HashStream()
        var generator = SeededGenerator(seed: 99)
        var start = 0
        while start < length {
          let end = min(length, start + Int.random(in: 0...300, using: &generator))
          bytes[start..<end].withUnsafeBytes { stream.add($0) }
          start = end
        }
        #expect(stream.finish() == Self.digest(bytes), "\(length) bytes")
      }
    }
  }

  /// Streams of different lengths, begun at different places of a block, one to seven at a time.
  @Test func severalAtOnce() {
    Self.onBoth {
      for count in 1...7 {
        let heads = (0..<count).map { Self.bytes(7 * $0, seed: UInt64($0)) }
        let texts = (0..<count).map {
          Self.bytes(Self.lengths[(5 * $0 + count) % Self.lengths.count], seed: 50)
        }
        let streams = heads.map { head in
          let stream = HashStream()
          head.withUnsafeBytes { stream.add($0) }
          return stream
        }
        let copies = texts.map { text in
          ByteRegion(count: text.count) { target in text.withUnsafeBytes { target.copyMemory(from: $0) } }
        }
        withExtendedLifetime(copies) { HashStream.add(zip(streams, copies).map { ($0, $1.buffer) }) }
        for place in 0..<count {
          #expect(streams[place].finish() == Self.digest(heads[place] + texts[place]), "\(place) of \(count)")
        }
      }
    }
  }
}
