import TensorCore
import Testing

@Suite struct ByteRegionTests {
  private final class Owner {
    let onRelease: @Sendable () -> Void
    init(_ onRelease: @escaping @Sendable () -> Void) { self.onRelease = onRelease }
    deinit { onRelease() }
  }

  @Test func anUnnamedRegionLivesWhileItIsRead() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 4, alignment: 1)
    defer { memory.deallocate() }
    memory.copyMemory(from: [1, 2, 3, 4] as [UInt8], byteCount: 4)
    let released = Locked(false)
    func region() -> ByteRegion {
      ByteRegion(
        base: UnsafeRawPointer(memory), count: 4, owner: Owner { released.withLock { $0 = true } })
    }
    let sum = region().withBytes { bytes in
      #expect(!released.withLock { $0 })
      return bytes.reduce(0) { $0 + Int($1) }
    }
    #expect(sum == 10)
    #expect(released.withLock { $0 })
    #expect(region().array == [1, 2, 3, 4])
  }
}
