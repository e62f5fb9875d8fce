internal import CKernels

/// SHA-256 (FIPS 180-4) of bytes that come piece by piece.
///
/// A processor with instructions for it spends most of its time waiting for the round before: two or three streams that are
/// added to together take little more time than one. One thread at a time uses a stream.
package final class HashStream: @unchecked Sendable {
  /// How many streams are worth adding to at once.
  package static let together = 3

  /// The eight words of the hash so far.
  private let state = UnsafeMutablePointer<UInt32>.allocate(capacity: 8)
  /// The bytes that do not fill a block yet.
  private let rest = UnsafeMutableRawPointer.allocate(byteCount: blockSize, alignment: 64)
  private var restCount = 0
  private var count = 0
  private static let blockSize = 64
  /// FIPS 180-4, 5.3.3.
  private static let start: [UInt32] = [
    0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19,
  ]

  /// A stream of no bytes.
  package init() { reset() }

  deinit {
    state.deallocate()
    rest.deallocate()
  }

  private func reset() {
    state.initialize(from: HashStream.start, count: 8)
    (restCount, count) = (0, 0)
  }

  /// Adds the next bytes.
  package func add(_ bytes: UnsafeRawBufferPointer) { HashStream.add([(self, bytes)]) }

  /// Adds bytes to several streams; faster than one after the other where they are about as many.
  ///
  /// - Precondition: no stream is there twice.
  package static func add(_ pieces: [(stream: HashStream, bytes: UnsafeRawBufferPointer)]) {
    var open = pieces.compactMap { $0.stream.blocks(of: $0.bytes) }
    while let blocks = open.map(\.blocks).min() {
      let states: [UnsafeMutablePointer<UInt32>?] = open.map(\.state)
      let data: [UnsafePointer<UInt8>?] = open.map { $0.data.assumingMemoryBound(to: UInt8.self) }
      ck_sha256(states, data, open.count, blocks)
      for place in open.indices {
        open[place].data += blocks * blockSize
        open[place].blocks -= blocks
      }
      open.removeAll { $0.blocks == 0 }
    }
  }

  /// Whole blocks that wait to be taken into a state.
  private struct Blocks {
    let state: UnsafeMutablePointer<UInt32>
    var data: UnsafeRawPointer
    var blocks: Int
  }

  /// Takes what fills the block begun before, and what will be left behind the whole blocks of `bytes`; nil where there are none.
  private func blocks(of bytes: UnsafeRawBufferPointer) -> Blocks? {
    guard var data = bytes.baseAddress, !bytes.isEmpty else { return nil }
    count += bytes.count
    var left = bytes.count
    if restCount > 0 {
      let taken = min(left, HashStream.blockSize - restCount)
      (rest + restCount).copyMemory(from: data, byteCount: taken)
      (restCount, left, data) = (restCount + taken, left - taken, data + taken)
      guard restCount == HashStream.blockSize else { return nil }
      takeRest()
    }
    let blocks = left / HashStream.blockSize
    restCount = left % HashStream.blockSize
    rest.copyMemory(from: data + blocks * HashStream.blockSize, byteCount: restCount)
    return blocks > 0 ? Blocks(state: state, data: data, blocks: blocks) : nil
  }

  private func takeRest() {
    let data: [UnsafePointer<UInt8>?] = [UnsafePointer(rest.assumingMemoryBound(to: UInt8.self))]
    ck_sha256([state], data, 1, 1)
    restCount = 0
  }

  /// The 32 bytes of the hash; the stream begins anew.
  package func finish() -> [UInt8] {
    let bits = UInt64(count) * 8
    func fill(upTo end: Int) {
      (rest + restCount).initializeMemory(as: UInt8.self, repeating: 0, count: end - restCount)
      restCount = end
    }
    rest.storeBytes(of: 0x80, toByteOffset: restCount, as: UInt8.self)
    restCount += 1
    if restCount > HashStream.blockSize - 8 {
      fill(upTo: HashStream.blockSize)
      takeRest()
    }
    fill(upTo: HashStream.blockSize - 8)
    rest.storeBytes(of: bits.bigEndian, toByteOffset: HashStream.blockSize - 8, as: UInt64.self)
    takeRest()
    let words = UnsafeBufferPointer(start: state, count: 8)
    let digest = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) } }
    reset()
    return digest
  }

  /// What the hashes run on: "sha-ni", "arm-sha2" or "scalar".
  package static var instructions: String { String(cString: ck_sha256_name()) }
}
